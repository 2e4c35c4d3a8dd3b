import { API_VERSION, type FileVm, isName, type NodeFile } from '@skerry/api';
import { Document, isScalar } from 'yaml';
import type { Entry } from './entry.ts';

/** Pure: the node file that an import writes. */

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
export type DraftNic = Mutable<NonNullable<FileVm['nics']>[number]>;
/** Its networks are written shortly where nothing more is said of its NICs. */
export type DraftVm = Mutable<Omit<FileVm, 'networks' | 'nics'>> & { nics?: DraftNic[] };

/** Facts of the host, and of where the node file is to be. */
export interface ImportFacts {
  /** What is at a path that is written in the file, relative to it; undefined: nothing. */
  readonly kindOf: (path: string) => 'file' | 'directory' | 'other' | undefined;
  /** The path as the node file has to write it. */
  readonly moved: (path: string) => string;
}

/** Names that the node file may have, for names of the imported file: the same one for the same. */
export class Names {
  readonly #given = new Map<string, string>();
  readonly #what: string;

  constructor(what: string) {
    this.#what = what;
  }

  get(text: string): string | undefined {
    return this.#given.get(text);
  }

  give(entry: Entry, text = entry.key): string {
    const known = this.#given.get(text);
    if (known !== undefined) return known;
    const base = labelOf(text);
    const taken = new Set(this.#given.values());
    let name = base;
    for (let number = 2; taken.has(name); number++) name = `${base.slice(0, 58)}-${number}`;
    this.#given.set(text, name);
    if (name !== text) entry.changed(`the ${this.#what} '${text}' is called ${name}: names are DNS labels here`);
    return name;
  }
}

/** 'My_App' -> 'my-app' */
export function labelOf(text: string): string {
  const label = text
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .slice(0, 63)
    .replaceAll(/^-+|-+$/g, '');
  return isName(label) ? label : 'imported';
}

export class Draft {
  readonly vms = new Map<string, DraftVm>();
  readonly networks = new Map<string, NonNullable<NonNullable<NodeFile['networks']>[string]> | null>();
  readonly forward: NonNullable<NodeFile['forward']> = [];
  readonly links: NonNullable<NodeFile['links']> = [];
  /** VM -> what its image was called. */
  readonly images = new Map<string, string>();

  file(name: string): NodeFile {
    return {
      apiVersion: API_VERSION,
      kind: 'Node',
      name,
      ...(this.networks.size === 0 ? {} : { networks: Object.fromEntries(this.networks) }),
      vms: Object.fromEntries([...this.vms].map(([vm, draft]) => [vm, ordered(draft)])),
      ...(this.links.length === 0 ? {} : { links: this.links }),
      ...(this.forward.length === 0 ? {} : { forward: this.forward }),
    };
  }

  /** @param origin what it was made from, for the first line */
  text(name: string, origin: string): string {
    const document = new Document(this.file(name), { aliasDuplicateObjects: false });
    document.commentBefore = ` Imported from ${origin.replaceAll(/\s+/g, ' ')} by \`skerry node import\`.`;
    for (const [vm, image] of this.images) {
      const node: unknown = document.getIn(['vms', vm, 'image'], true);
      if (isScalar(node)) node.comment = ` was: ${image.replaceAll(/\s+/g, ' ')}`;
    }
    return `${document.toString({ lineWidth: 0 }).trimEnd()}\n`;
  }
}

/** As a person would write them. */
const ORDER = [
  'image',
  'replicas',
  'cpu',
  'memory',
  'role',
  'networks',
  'nics',
  'command',
  'env',
  'secrets',
  'files',
  'shares',
  'dependsOn',
  'health',
  'restart',
  'stopGracePeriod',
  'labels',
];

function ordered({ nics, ...rest }: DraftVm): FileVm {
  const isShort = nics?.every((nic) => Object.keys(nic).length === 1);
  const networks = isShort === true ? { networks: nics?.map(({ network }) => network) } : { nics };
  const vm = nics === undefined ? rest : { ...rest, ...networks };
  const rank = (key: string) => (ORDER.indexOf(key) + ORDER.length + 1) % (ORDER.length + 1);
  return Object.fromEntries(Object.entries(vm).toSorted(([a], [b]) => rank(a) - rank(b))) as FileVm;
}
