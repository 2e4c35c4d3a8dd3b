export { Args, type Command, type Option, type Positional } from './command.ts';
export { GLOBAL_OPTIONS, GROUPS, type OutputFormat } from './globals.ts';
export { commandHelp, generalHelp, groupHelp, usageOf } from './help.ts';
export { nameOf, parse, type Parsed } from './parse.ts';
export { nearest } from './suggest.ts';
