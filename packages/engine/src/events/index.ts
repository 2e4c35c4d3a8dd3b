export { EventLog, type EventFilter, type EventLogOptions } from './event-log.ts';
