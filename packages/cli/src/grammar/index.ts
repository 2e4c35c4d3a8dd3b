export { Args, type Command, isMany, type NameKind, type Option, type Positional } from './command.ts';
export { GLOBAL_OPTIONS, groupOf, GROUPS, type OutputFormat } from './globals.ts';
export { commandHelp, generalHelp, groupHelp, spellingOf, usageOf } from './help.ts';
export { nameOf, parse, type Parsed } from './parse.ts';
export { asSkerry } from './programs.ts';
export { nearest } from './suggest.ts';
export { FOREIGN_VERBS } from './foreign.ts';
export { findWaiting, WAITING, WAITING_GLOBAL_OPTIONS, WAITING_OPTIONS, type Waiting } from './waiting.ts';
