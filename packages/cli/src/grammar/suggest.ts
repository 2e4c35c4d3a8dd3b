import { SkerryError } from '@skerry/api/base';

/** What people who come from elsewhere type, and what it is called here. */
const FOREIGN: Readonly<Record<string, string>> = {
  // virsh
  undefine: 'delete',
  define: 'create',
  dominfo: 'info',
  domstate: 'info',
  domifaddr: 'info',
  dumpxml: 'info -o yaml',
  shutdown: 'stop',
  reboot: 'restart',
  reset: 'kill, then start',
  ttyconsole: 'console',
  domlist: 'list',
  nodeinfo: 'host info',
  'net-list': 'network list',
  capabilities: 'host info',
  event: 'events',
  'virt-install': 'create',
  domstats: 'top --once',
  managedsave: 'suspend',
  save: 'suspend',
  restore: 'start',
  'list-all': 'list',
  // qm
  showcmd: 'info',
  status: 'info',
  terminal: 'console',
  config: 'info',
  guest: 'exec',
  hibernate: 'suspend',
  listsnapshot: 'info',
  // multipass
  launch: 'create NAME IMAGE --start',
  clone: 'fork VM NAME',
  purge: 'delete',
  transfer: 'cp',
  find: 'image list',
  recover: 'create',
  // govc
  'vm.create': 'create',
  'vm.destroy': 'delete',
  'vm.info': 'info',
  'vm.power': 'start, stop or kill',
  ls: 'list',
  'vm.ip': 'info',
  'vm.console': 'console',
  'guest.run': 'exec',
  'guest.start': 'exec',
  'guest.upload': 'cp',
  'guest.download': 'cp',
  tasks: 'task list',
  about: 'version',
  'host.info': 'host info',
  // docker
  ps: 'list',
  rm: 'delete',
  inspect: 'info',
  attach: 'console',
  stats: 'top',
  images: 'image list',
  build: 'image build',
  unpause: 'resume',
  login: 'shell',
  ssh: 'shell',
  compose: 'up FILE',
  doctor: 'host doctor',
  'power-off': 'kill',
  poweroff: 'kill',
  remove: 'delete',
  show: 'info',
  get: 'info',
  copy: 'cp',
  apply: 'up FILE',
};

const DESTROY_REMEDY = 'power off: kill; remove: delete';

/** The error for a verb that is none of ours. */
export function unknownVerb(verb: string, group: string | undefined, verbs: readonly string[]): SkerryError {
  const shown = group === undefined ? verb : `${group} ${verb}`;
  if (verb === 'destroy') {
    return new SkerryError('invalid', `'${shown}' means different things elsewhere, so it is refused`, {
      remedy: DESTROY_REMEDY,
    });
  }
  const ours = group === undefined || group === 'vm' ? FOREIGN[verb] : undefined;
  const near = nearest(verb, verbs);
  const prefix = group === undefined ? 'skerry' : `skerry ${group}`;
  return new SkerryError('invalid', `There is no command '${shown}'`, {
    remedy:
      ours !== undefined
        ? `It is called: skerry ${ours}`
        : near !== undefined
          ? `Did you mean: ${prefix} ${near}`
          : `See \`${group === undefined ? 'skerry help' : `skerry ${group} --help`}\`.`,
  });
}

export function unknownOption(token: string, command: string, known: readonly string[]): SkerryError {
  const near = nearest(token.replace(/^-+/, ''), known);
  return new SkerryError('invalid', `${command} has no option ${token}`, {
    remedy: near === undefined ? `See \`skerry ${command} --help\`.` : `Did you mean --${near}?`,
  });
}

/** The word with the fewest changes to it, if they are few for its length. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const ranked = candidates
    .map((candidate) => ({ candidate, cost: distance(word, candidate) }))
    .toSorted((a, b) => a.cost - b.cost);
  const best = ranked[0];
  return best !== undefined && best.cost <= Math.max(1, Math.floor(word.length / 3)) ? best.candidate : undefined;
}

/** Damerau-Levenshtein, adjacent transpositions only: 'strat' is one away from 'start'. */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      let cost = Math.min((previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (previous[j - 1] ?? 0) + same);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        cost = Math.min(cost, (before[j - 2] ?? 0) + 1);
      row.push(cost);
    }
    before = previous;
    previous = row;
  }
  return previous[b.length] ?? 0;
}
