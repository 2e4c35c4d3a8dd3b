import { GuestPath, SECRETS_DIRECTORY, type FileVm } from '@skerry/api';
import type { Service } from './compose-service.ts';
import type { ImportFacts } from './draft.ts';
import { type Entry, lost, type Table, tableOf, textInto, translate, unneeded } from './entry.ts';
import { type Bind, bindOf, isPath, parseMount } from './mounts.ts';

/** Pure: what a compose service is given of files: volumes, secrets, configs. */

const NO_VOLUMES = 'there are no volumes beside disks: what a VM writes there is on its own disk, and goes with the VM';
const SHARE_INSTEAD = 'Share a directory of the host where it is to outlive the VM: `shares: [./data:/data]`.';

export function volumesOf(entry: Entry, service: Service): void {
  for (const volume of entry.items()) {
    if (volume.isMapping) longVolume(volume, service);
    else shortVolume(volume, service);
  }
}

/** Modes that change nothing here: labels of SELinux are the daemon's business, caches there are none. */
const NEUTRAL_MODES = new Set(['rw', 'ro', 'z', 'Z', 'cached', 'delegated', 'consistent', 'nocopy', 'rprivate']);

function shortVolume(entry: Entry, { context, vm }: Service): void {
  const text = entry.text();
  if (text === undefined) return;
  const mount = parseMount(text);
  if (mount === undefined) entry.lost(`'${text}' is no mount that can be read`);
  else if (mount.source === undefined || !isPath(mount.source))
    entry.lost(`${mount.target}: ${NO_VOLUMES}`, SHARE_INSTEAD);
  else {
    const others = mount.modes.filter((mode) => !NEUTRAL_MODES.has(mode));
    if (others.length > 0) entry.lost(`${others.join(', ')}: a share is rw or ro`);
    const bind = { host: mount.source, guest: mount.target, readonly: mount.modes.includes('ro') };
    bindOf(entry, bind, vm, context.facts);
  }
}

type Mount = { -readonly [K in keyof Bind]?: Bind[K] } & { type?: string };

const LONG: Table<Mount> = tableOf<Mount>({
  type: textInto('type'),
  source: textInto('host'),
  target: textInto('guest'),
  read_only: (entry, into) => {
    const readonly = entry.flag();
    if (readonly === true) into.readonly = true;
    else if (readonly === false) entry.unneeded('it is the default');
  },
  bind: (entry) => {
    for (const each of entry.entries()) {
      if (each.key === 'create_host_path')
        each.lost('a directory that is shared has to be there', 'Make it with `mkdir -p`.');
      else each.lost('a share has no such option');
    }
  },
  volume: lost(NO_VOLUMES, SHARE_INSTEAD),
  tmpfs: lost('nothing is mounted in memory but /tmp and /run', 'Begin the command with `mount -t tmpfs`.'),
  image: lost('images are not mounted'),
  consistency: unneeded('a share has no cache of its own'),
});

function longVolume(entry: Entry, { context, vm }: Service): void {
  const mount: Mount = {};
  translate(entry, LONG, mount);
  const { type, host, guest, readonly = false } = mount;
  if (type === 'bind' && host !== undefined && guest !== undefined) {
    bindOf(entry, { host, guest, readonly }, vm, context.facts);
  } else if (type === 'volume') {
    entry.lost(guest === undefined ? NO_VOLUMES : `${guest}: ${NO_VOLUMES}`, SHARE_INSTEAD);
  } else if (type === 'bind') {
    entry.lost(`it names no ${host === undefined ? 'source' : 'target'}`);
  } else {
    entry.lost(`a mount of ${type === undefined ? 'no type' : `type ${type}`} has no counterpart`);
  }
}

interface Use {
  source?: string;
  target?: string;
  mode?: string;
}

const OWNER = lost('files of a VM belong to root');

const USE: Table<Use> = tableOf<Use>({
  source: textInto('source'),
  target: textInto('target'),
  uid: OWNER,
  gid: OWNER,
  mode: (entry, into) => {
    const mode = modeOf(entry);
    if (mode !== undefined) into.mode = mode;
  },
});

/** Octal digits, which YAML 1.2 reads as a decimal number. */
function modeOf(entry: Entry): string | undefined {
  const text = entry.text();
  if (text === undefined) return undefined;
  const digits = /^(?:0o?)?(?<octal>[0-7]{3,4})$/.exec(text)?.groups?.['octal'];
  if (digits === undefined) entry.lost(`'${text}' is no mode in octal`);
  return digits?.padStart(4, '0');
}

/** The uses of a list, by name or in full. */
function usesOf(entry: Entry): Array<Use & { readonly entry: Entry }> {
  return entry.items().map((item) => {
    const use: Use = {};
    if (item.isMapping) translate(item, USE, use);
    else use.source = item.text() ?? '';
    return { ...use, entry: item };
  });
}

export function secretsOf(entry: Entry, { context, vm }: Service): void {
  for (const { source = '', target = source, mode, entry: item } of usesOf(entry)) {
    if (source === '') {
      item.lost('it names no secret');
      continue;
    }
    const secret = context.secrets.give(item, source);
    const path = target.startsWith('/') ? target : `${SECRETS_DIRECTORY}/${target}`;
    const secrets = (vm.secrets ??= []);
    if (mode !== undefined) item.entry('mode')?.lost('files of secrets are for root only');
    const taken = secrets.some((each) => pathOf(each) === path);
    if (taken || !GuestPath.safeParse(path).success)
      item.lost(`${path} can't be the place of a secret, or is one's already`);
    else secrets.push(path === `${SECRETS_DIRECTORY}/${secret}` ? secret : { secret, path });
  }
}

function pathOf(use: NonNullable<FileVm['secrets']>[number]): string {
  return typeof use === 'string' ? `${SECRETS_DIRECTORY}/${use}` : (use.path ?? `${SECRETS_DIRECTORY}/${use.secret}`);
}

/** A config is a file that is put into the guest. */
export function configsOf(entry: Entry, { context, vm }: Service): void {
  for (const { source = '', target = `/${source}`, mode, entry: item } of usesOf(entry)) {
    const config = context.configs.get(source);
    const path = target.startsWith('/') ? target : `/${target}`;
    const files = (vm.files ??= []);
    context.usedConfigs.add(source);
    if (config === undefined) item.lost(`there is no config '${source}' in this file`);
    else if (files.some((each) => each.path === path)) item.lost(`there is a file for ${path} already`);
    else {
      const value = valueOf(config, item, context.facts);
      if (value !== undefined) files.push({ path, ...(mode === undefined ? {} : { mode }), ...value });
    }
    if (files.length === 0) delete vm.files;
  }
}

/** The text of a config, or where it is. */
function valueOf(config: Entry, use: Entry, facts: ImportFacts): { content: string } | { source: string } | undefined {
  const [content, file] = [config.entry('content'), config.entry('file')];
  const said = content ?? file;
  for (const each of config.entries()) {
    if (each.key !== said?.key) each.lost('a file is given as text or as a file beside the node file');
  }
  const text = said?.text();
  if (text === undefined || text === '') {
    use.lost('its value is not in this file', 'Write it under `files`: `{ path: PATH, content: ... }`.');
    return undefined;
  }
  return content === undefined ? { source: facts.moved(text) } : { content: text };
}
