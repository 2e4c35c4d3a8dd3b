import type { Command } from '../grammar/index.ts';
import { createCommand } from './vm-create.ts';
import { execCommand, runCommand, shellCommand } from './vm-exec.ts';
import { listCommand } from './vm-list.ts';
import { deleteCommand, powerCommands } from './vm-power.ts';

/** Every command, in the order the help shows them. */
export const COMMANDS: readonly Command[] = [
  createCommand,
  runCommand,
  listCommand,
  ...powerCommands,
  deleteCommand,
  execCommand,
  shellCommand,
];
