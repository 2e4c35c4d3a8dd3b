/**
 * What people who come from virsh, qm, multipass, govc, docker or incus type, and what it is called here. Pure data, for
 * messages only: nothing of it is ever run.
 *
 * A word in capitals stands for one word of theirs, `VM...` for all that are left. A line that is as long as the pattern is
 * answered with its own words, another with the capitals.
 */
type Rule = readonly [theirs: string, ours: string];

const VIRSH: readonly Rule[] = [
  ['define FILE', 'create NAME IMAGE'],
  ['undefine VM...', 'delete VM...'],
  ['dominfo VM', 'info VM'],
  ['domstate VM', 'info VM'],
  ['domifaddr VM', 'info VM'],
  ['domiflist VM', 'info VM'],
  ['domblklist VM', 'info VM'],
  ['domrename VM NAME', 'rename VM NAME'],
  ['domstats VM', 'top --once'],
  ['domstats', 'top --once'],
  ['dumpxml VM', 'info VM -o yaml'],
  ['shutdown VM...', 'stop VM...'],
  ['reboot VM...', 'restart VM...'],
  ['reset VM...', 'restart VM...'],
  ['managedsave VM', 'suspend VM'],
  ['save VM FILE', 'suspend VM'],
  ['restore VM', 'start VM'],
  ['ttyconsole VM', 'console VM'],
  ['vncdisplay VM', 'screen VM'],
  ['qemu-agent-command VM', 'exec VM -- COMMAND'],
  ['nodeinfo', 'host info'],
  ['capabilities', 'host info'],
  ['domlist', 'list'],
  ['list-all', 'list'],
  ['net-list', 'network list'],
  ['net-create FILE', 'network create NAME'],
  ['net-destroy NETWORK', 'network delete NETWORK'],
  ['net-dhcp-leases NETWORK', 'network leases NETWORK'],
  ['pool-list', 'repo list'],
  ['vol-list REPO', 'volume list REPO'],
  ['snapshot-create-as VM NAME', 'snapshot create VM NAME'],
  ['snapshot-list VM', 'snapshot list VM'],
  ['snapshot-revert VM NAME', 'snapshot revert VM NAME'],
  ['setvcpus VM N', 'set VM --cpu N'],
  ['setmem VM SIZE', 'set VM --memory SIZE'],
  ['attach-disk VM FILE', 'disk add VM --disk FILE'],
  ['attach-interface VM', 'nic add VM --network NETWORK'],
  ['secret-define FILE', 'secret set NAME'],
  ['secret-set-value SECRET', 'secret set SECRET'],
  ['secret-list', 'secret list'],
  ['event', 'events'],
  ['virt-install', 'create NAME IMAGE --start'],
];

const QM: readonly Rule[] = [
  ['showcmd VM', 'info VM'],
  ['config VM', 'info VM -o yaml'],
  ['status VM', 'info VM'],
  ['terminal VM', 'console VM'],
  ['guest exec VM ...', 'exec VM ...'],
  ['guest cmd VM ...', 'exec VM ...'],
  ['hibernate VM', 'suspend VM'],
  ['listsnapshot VM', 'snapshot list VM'],
  ['delsnapshot VM NAME', 'snapshot delete VM NAME'],
  ['rollback VM NAME', 'snapshot revert VM NAME'],
  ['importdisk VM FILE', 'image import FILE'],
];

const MULTIPASS: readonly Rule[] = [
  ['launch IMAGE', 'create NAME IMAGE --start'],
  ['clone VM', 'fork VM NAME'],
  ['clone VM NAME', 'fork VM NAME'],
  ['purge', 'delete VM'],
  ['transfer FROM TO', 'cp FROM TO'],
  ['find', 'image list'],
  ['networks', 'network list'],
  ['mount FROM TO', 'share add VM FROM:TO'],
  ['umount VM', 'share remove VM PATH'],
  ['recover VM', 'create NAME IMAGE'],
];

const GOVC: readonly Rule[] = [
  ['vm.power -on VM...', 'start VM...'],
  ['vm.power -off VM...', 'kill VM...'],
  ['vm.power -s VM...', 'stop VM...'],
  ['vm.power -r VM...', 'restart VM...'],
  ['vm.power -reset VM...', 'restart VM...'],
  ['vm.power -suspend VM...', 'suspend VM...'],
  ['vm.power', 'start, stop or kill'],
  ['vm.create NAME', 'create NAME IMAGE'],
  ['vm.clone -vm VM NAME', 'fork VM NAME'],
  ['vm.destroy VM...', 'delete VM...'],
  ['vm.info VM', 'info VM'],
  ['vm.ip VM', 'info VM'],
  ['vm.console VM', 'console VM'],
  ['vm.migrate VM', 'migrate VM --target-host HOST'],
  ['snapshot.create -vm VM NAME', 'snapshot create VM NAME'],
  ['guest.run -vm VM ...', 'exec VM -- ...'],
  ['guest.start -vm VM ...', 'exec VM -- ...'],
  ['guest.upload -vm VM FROM TO', 'cp FROM VM:TO'],
  ['guest.download -vm VM FROM TO', 'cp VM:FROM TO'],
  ['host.info', 'host info'],
  ['tasks', 'task list'],
  ['about', 'version'],
];

const CONTAINERS: readonly Rule[] = [
  ['ps', 'list'],
  ['rm VM...', 'delete VM...'],
  ['inspect VM', 'info VM -o yaml'],
  ['attach VM', 'console VM'],
  ['stats', 'top'],
  ['images', 'image list'],
  ['rmi IMAGE...', 'image delete IMAGE...'],
  ['build RECIPE', 'image build RECIPE'],
  ['pull IMAGE', 'image build IMAGE'],
  ['unpause VM...', 'resume VM...'],
  ['login VM', 'shell VM'],
  ['compose up', 'up FILE'],
  ['compose down', 'down NODE'],
  ['compose ps', 'node list'],
  ['init IMAGE NAME', 'create NAME IMAGE'],
  ['file push FROM TO', 'cp FROM TO'],
  ['file pull FROM TO', 'cp FROM TO'],
];

const OTHERS: readonly Rule[] = [
  ['doctor', 'host doctor'],
  ['power-off VM...', 'kill VM...'],
  ['poweroff VM...', 'kill VM...'],
  ['remove VM...', 'delete VM...'],
  ['get VM', 'info VM'],
  ['copy FROM TO', 'cp FROM TO'],
];

const RULES: readonly Rule[] = [...VIRSH, ...QM, ...MULTIPASS, ...GOVC, ...CONTAINERS, ...OTHERS];

/** Typed before their verbs by habit. */
export const TOOLS: readonly string[] = ['virsh', 'qm', 'multipass', 'govc', 'docker', 'podman', 'incus', 'lxc'];

/** The first words that the table knows. */
export const FOREIGN_VERBS: ReadonlySet<string> = new Set(RULES.map(([theirs]) => theirs.split(' ')[0] ?? ''));

/** What to type instead, without `skerry`; undefined when it is nothing that we know. */
export function foreignLine(words: readonly string[]): string | undefined {
  let unfilled: { readonly ours: string; readonly literals: number } | undefined;
  for (const [theirs, ours] of RULES) {
    const pattern = theirs.split(' ');
    const filled = match(pattern, words);
    if (filled !== undefined) return fill(ours, filled);
    const literals = pattern.filter((token) => !isPlace(token));
    const fits = literals.every((literal, index) => (index === 0 ? words[0] === literal : words.includes(literal)));
    if (fits && (unfilled === undefined || literals.length > unfilled.literals)) {
      unfilled = { ours, literals: literals.length };
    }
  }
  return unfilled?.ours;
}

function isPlace(token: string): boolean {
  return token === '...' || /^[A-Z]+(?:\.\.\.)?$/.test(token);
}

/** The words that stand in each place, when all of the line is as in the pattern. */
function match(pattern: readonly string[], words: readonly string[]): ReadonlyMap<string, string> | undefined {
  const places = new Map<string, string>();
  for (const [index, token] of pattern.entries()) {
    const word = words[index];
    if (word === undefined) return undefined;
    if (token.endsWith('...')) {
      const left = words.slice(index);
      if (token !== '...' && left.some((each) => each.startsWith('-'))) return undefined;
      return places.set(token, left.join(' '));
    }
    if (!isPlace(token)) {
      if (token !== word) return undefined;
    } else if (word.startsWith('-')) {
      return undefined;
    } else {
      places.set(token, word);
    }
  }
  return words.length === pattern.length ? places : undefined;
}

/** `VM:TO` has two places. */
function fill(ours: string, places: ReadonlyMap<string, string>): string {
  return ours.replace(/[A-Z]+(?:\.\.\.)?|\.\.\./g, (token) => places.get(token) ?? token);
}
