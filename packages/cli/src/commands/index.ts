import type { Command } from '../grammar/index.ts';
import { autostartCommand } from './autostart.ts';
import { completionCommand } from './completion.ts';
import { applyCommand } from './apply.ts';
import { captureCommands } from './capture.ts';
import { connectCommand } from './connect.ts';
import { bundleCommands } from './bundle.ts';
import { copyCommand } from './copy/index.ts';
import { daemonCommands } from './daemon.ts';
import { daemonKeepCommands } from './daemon-keep.ts';
import { daemonServiceCommands } from './daemon-service.ts';
import { demoCommand } from './demo.ts';
import { eventCommands } from './event.ts';
import { faultCommands } from './fault.ts';
import { linkImpairCommand } from './link-impair.ts';
import { forwardCommand } from './forward/index.ts';
import { versionCommand } from './general.ts';
import { hostCommands } from './host.ts';
import { imageCommands } from './image.ts';
import { linkCommands } from './link.ts';
import { explainCommand } from './network-explain.ts';
import { networkCommands } from './network.ts';
import { networkAclCommands } from './network-acl.ts';
import { networkForwardCommands } from './network-forward.ts';
import { networkRouteCommands } from './network-route.ts';
import { nicCommands } from './nic.ts';
import { nodeCommands } from './node.ts';
import { nodeCopyCommands } from './node-copies.ts';
import { importCommand } from './node-import.ts';
import { nodeVerbCommands } from './node-verbs.ts';
import { nodeWatchCommands } from './node-watch.ts';
import { poolCommands } from './pool.ts';
import { shareCommands } from './share.ts';
import { secretCommands } from './secret/index.ts';
import { sshCommands } from './ssh/index.ts';
import { taskCommands } from './task.ts';
import { templateCommands } from './template.ts';
import { topCommand } from './top/index.ts';
import { createCommand } from './vm-create.ts';
import { execCommand, runCommand, shellCommand } from './vm-exec.ts';
import { forkCommand } from './vm-fork.ts';
import { editCommand } from './edit/index.ts';
import { infoCommand } from './vm-info.ts';
import { listCommand } from './vm-list.ts';
import { renameCommand } from './vm-rename.ts';
import { setCommand } from './vm-set.ts';
import { showCommand } from './vm-show.ts';
import { deleteCommand, powerCommands } from './vm-power.ts';
import { consoleCommand, logsCommand, waitCommand } from './vm-watch.ts';

/** Every command, in the order the help shows them. */
export const COMMANDS: readonly Command[] = [
  demoCommand,
  versionCommand,
  completionCommand,
  applyCommand,
  createCommand,
  runCommand,
  listCommand,
  infoCommand,
  showCommand,
  editCommand,
  setCommand,
  renameCommand,
  ...powerCommands,
  autostartCommand,
  forkCommand,
  deleteCommand,
  execCommand,
  shellCommand,
  ...sshCommands,
  forwardCommand,
  connectCommand,
  consoleCommand,
  copyCommand,
  logsCommand,
  waitCommand,
  ...nodeCommands,
  ...nodeVerbCommands,
  ...nodeWatchCommands,
  ...nodeCopyCommands,
  importCommand,
  ...imageCommands,
  ...bundleCommands,
  ...templateCommands,
  ...poolCommands,
  ...networkCommands,
  ...faultCommands,
  linkImpairCommand,
  explainCommand,
  ...networkForwardCommands,
  ...networkAclCommands,
  ...networkRouteCommands,
  ...nicCommands,
  ...linkCommands,
  ...captureCommands,
  ...shareCommands,
  ...secretCommands,
  ...taskCommands,
  ...eventCommands,
  topCommand,
  ...hostCommands,
  ...daemonCommands,
  ...daemonServiceCommands,
  ...daemonKeepCommands,
];
