export { QmpClient, type QmpCommandName, type QmpEvent, type QmpEventName } from './client.ts';
export type { WaitOptions } from './connect.ts';
export { QmpError } from './errors.ts';
export { LineSplitter, LineTooLongError } from './lines.ts';
export { parseMessage, type QmpMessage, type QmpVersion } from './protocol.ts';
export { SCHEMA_VERSION, type QmpCommands, type QmpEvents } from './schema.ts';
