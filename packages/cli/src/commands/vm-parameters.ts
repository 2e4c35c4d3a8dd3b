import { parseRestart, SkerryError, type VmCreateInput } from '@skerry/api/base';
import type { Args, Option, Positional } from '../grammar/index.ts';

/** Parameters that many commands share, each with all its spellings (cli.md). */

export const VM: Positional = { name: 'vm', value: 'VM', summary: 'its name, NODE/NAME or id' };
export const VMS: Positional = { ...VM, aliases: ['name'], many: true, summary: 'one or more: name, NODE/NAME or id' };

export const IMAGE: Positional = {
  name: 'image',
  aliases: ['os'],
  value: 'IMAGE',
  summary: 'what it is made from (`skerry image list`); default: micro',
};

/** What templates and pools have in common with the VMs that come of them. */
export const SHAPE_OPTIONS: readonly Option[] = [
  { name: 'cpu', aliases: ['cpus'], value: 'N', summary: 'number of CPUs; default: 1' },
  { name: 'memory', short: 'm', value: 'SIZE', summary: 'such as 128Mi or 1G; default: 128Mi' },
];

export function shapeOf(args: Args): { cpus?: number; memoryMib?: number } {
  const [cpus, memoryMib] = [args.int('cpu'), args.sizeMib('memory')];
  return { ...(cpus === undefined ? {} : { cpus }), ...(memoryMib === undefined ? {} : { memoryMib }) };
}

/** What becomes of a VM that ends or is stopped: for `create` and `set`. */
export const LIFE_OPTIONS: readonly Option[] = [
  {
    name: 'restart',
    value: 'POLICY[:TRIES]',
    summary: 'when it ends by itself: never, on-failure or always; default: never',
  },
  { name: 'stop-grace-period', value: 'TIME', summary: 'what its guest gets to end by itself; default: 10s' },
];

/** @throws SkerryError `invalid` */
export function lifeOf(args: Args): Pick<VmCreateInput, 'restart' | 'stopGracePeriodMs'> {
  const [restart, stopGracePeriodMs] = [args.text('restart'), args.durationMs('stop-grace-period')];
  return {
    ...(restart === undefined ? {} : { restart: restartOf(restart) }),
    ...(stopGracePeriodMs === undefined ? {} : { stopGracePeriodMs }),
  };
}

function restartOf(text: string): ReturnType<typeof parseRestart> {
  try {
    return parseRestart(text);
  } catch (error) {
    const { code, message, remedy } = SkerryError.from(error);
    throw new SkerryError(code, `--restart: ${message}`, { remedy });
  }
}

/** What a VM can be given when it is made, and later. */
export const CHANGEABLE_OPTIONS: readonly Option[] = [
  ...SHAPE_OPTIONS,
  { name: 'env', short: 'e', value: 'KEY=VALUE', many: true, summary: 'an environment variable of its commands' },
  {
    name: 'forward',
    value: '[ADDRESS:]HOST:GUEST',
    many: true,
    summary: 'a port of this host that leads into it, such as 8080:80',
  },
  {
    name: 'kernel',
    value: 'KERNEL',
    choices: ['auto', 'micro', 'distro'],
    summary: 'auto, micro or distro; default: auto',
  },
  { name: 'role', value: 'ROLE', choices: ['router'], summary: 'router: it passes on what is not for itself' },
  { name: 'ssh', summary: 'with an ssh server, for `skerry ssh`, scp and rsync' },
  { name: 'cold', summary: 'boot it, even where a template would start it sooner' },
  { name: 'label', value: 'KEY=VALUE', many: true, summary: 'a label to find it by' },
  { name: 'title', value: 'TEXT', summary: 'any text, shown beside the name' },
];

/** What a new VM can be given, for `create` and `run`. */
export const VM_OPTIONS: readonly Option[] = [
  ...CHANGEABLE_OPTIONS,
  {
    name: 'share',
    value: 'HOST:GUEST[:ro,virtiofs]',
    many: true,
    summary: 'a directory of this host that it sees, such as ./src:/mnt/src',
  },
  {
    name: 'secret',
    value: 'NAME[:PATH]',
    many: true,
    summary: 'a secret, as the file /run/secrets/NAME, and a link to it at PATH',
  },
  {
    name: 'secret-env',
    value: 'KEY=NAME',
    many: true,
    summary: 'a secret as an environment variable of its commands',
  },
  { name: 'disk', value: 'SIZE', summary: "virtual size of its disk; default: the image's" },
  { name: 'network', value: 'NAME', summary: 'the network it is on; default: default' },
];

export const PROTECT: Option = { name: 'protect', summary: 'refuse to delete it, unless --force is given' };

export function pairs(texts: readonly string[], option: string): Record<string, string> {
  return Object.fromEntries(
    texts.map((text) => {
      const equals = text.indexOf('=');
      if (equals > 0) return [text.slice(0, equals), text.slice(equals + 1)];
      throw new SkerryError('invalid', `--${option}: '${text}' is no KEY=VALUE`, {
        remedy: `Write --${option} ${text.replace(/=.*/, '') || 'KEY'}=VALUE.`,
      });
    }),
  );
}

/** '8080:80', '0.0.0.0:8080:80', '[::1]:8080:80' */
export function parseForward(text: string): { hostPort: number; guestPort: number; hostAddress?: string } {
  const match = /^(?:(?<address>[\d.]+|\[[\da-f:]+\]):)?(?<host>\d+):(?<guest>\d+)$/i.exec(text);
  const { address, host, guest } = match?.groups ?? {};
  const ports = { hostPort: Number(host), guestPort: Number(guest) };
  if (match === null || !isPort(ports.hostPort) || !isPort(ports.guestPort)) {
    throw new SkerryError('invalid', `--forward: '${text}' is no pair of ports`, {
      remedy: "Write the host's port, then the guest's: 8080:80, or with an address to listen on, 0.0.0.0:8080:80.",
    });
  }
  return address === undefined ? ports : { ...ports, hostAddress: address.replace(/[[\]]/g, '') };
}

function isPort(port: number): boolean {
  return port >= 1 && port <= 65_535;
}
