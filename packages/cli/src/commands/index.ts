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
import { nodeCopyCommands } from './node-copies.ts';
import { poolCommands } from './pool.ts';
import { taskCommands } from './task.ts';
import { templateCommands } from './template.ts';
import { topCommand } from './top/index.ts';
import { createCommand } from './vm-create.ts';
import { execCommand, runCommand, shellCommand } from './vm-exec.ts';
import { forkCommand } from './vm-fork.ts';
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
  forkCommand,
  deleteCommand,
  execCommand,
  shellCommand,
  consoleCommand,
  copyCommand,
  logsCommand,
  waitCommand,
  ...nodeCommands,
  ...nodeCopyCommands,
  ...imageCommands,
  ...templateCommands,
  ...poolCommands,
  ...networkCommands,
  ...taskCommands,
  ...eventCommands,
  topCommand,
  ...hostCommands,
  ...daemonCommands,
];
