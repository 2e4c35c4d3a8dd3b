import type { Path } from '../node-file/source.ts';

/** Pure: what an imported file says that the node file does not, each with its place. */

/**
 * `lost`: the node file does not say it. `changed`: it says it in another way, and what is meant is not quite the same.
 * `unneeded`: it says nothing of it, and nothing is lost.
 */
export type FindingKind = 'lost' | 'changed' | 'unneeded';

export interface Finding {
  readonly kind: FindingKind;
  /** In the imported file, such as services.web.privileged. */
  readonly path: string;
  readonly line: number;
  readonly column: number;
  readonly message: string;
  /** What to type or change to have it all the same. */
  readonly remedy?: string | undefined;
}

/** Where in the file the key at a path stands, or the nearest thing around it. */
export type PlaceOf = (path: Path) => { readonly line: number; readonly column: number };

export class Findings {
  readonly #placeOf: PlaceOf;
  /** By place and text: what several VMs inherit from one line is said once. */
  readonly #found = new Map<string, Finding>();

  constructor(placeOf: PlaceOf) {
    this.#placeOf = placeOf;
  }

  add(kind: FindingKind, path: Path, message: string, remedy?: string): void {
    this.addAt(kind, this.#placeOf(path), message, { path: path.join('.'), remedy });
  }

  addAt(
    kind: FindingKind,
    place: { readonly line: number; readonly column: number },
    message: string,
    { path = '', remedy }: { readonly path?: string; readonly remedy?: string | undefined } = {},
  ): void {
    const key = JSON.stringify([path, place, message]);
    if (!this.#found.has(key))
      this.#found.set(key, { kind, path, ...place, message, ...(remedy === undefined ? {} : { remedy }) });
  }

  /** In the order of the file. */
  get all(): Finding[] {
    return [...this.#found.values()].toSorted((a, b) => a.line - b.line || a.column - b.column);
  }
}
