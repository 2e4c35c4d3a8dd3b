import type { Command } from '../grammar/index.ts';
import { copyCommand } from './copy/index.ts';
import { daemonCommands } from './daemon.ts';
import { demoCommand } from './demo.ts';
import { eventCommands } from './event.ts';
import { versionCommand } from './general.ts';
import { hostCommands } from './host.ts';
import { imageCommands } from './image.ts';
import { networkCommands } from './network.ts';
import { nodeCommands } from './node.ts';
import { taskCommands } from './task.ts';
import { createCommand } from './vm-create.ts';
import { execCommand, runCommand, shellCommand } from './vm-exec.ts';
import { infoCommand } from './vm-info.ts';
import { listCommand } from './vm-list.ts';
import { deleteCommand, powerCommands } from './vm-power.ts';
import { consoleCommand, logsCommand, waitCommand } from './vm-watch.ts';

/** Every command, in the order the help shows them. */
export const COMMANDS: readonly Command[] = [
  demoCommand,
  versionCommand,
  createCommand,
  runCommand,
  listCommand,
  infoCommand,
  ...powerCommands,
  deleteCommand,
  execCommand,
  shellCommand,
  consoleCommand,
  copyCommand,
  logsCommand,
  waitCommand,
  ...nodeCommands,
  ...imageCommands,
  ...networkCommands,
  ...taskCommands,
  ...eventCommands,
  ...hostCommands,
  ...daemonCommands,
];
