/** One thing that a check found wrong. `file` is relative to the repository. */
export interface Finding {
  readonly file: string;
  readonly line?: number;
  readonly message: string;
}

/** A file of the repository, read once for all checks. `path` is relative, with `/`. */
export interface Source {
  readonly path: string;
  readonly text: string;
}

/** The line number (from 1) of a position in a text. */
export function lineAt(text: string, index: number): number {
  let line = 1;
  for (let at = text.indexOf('\n'); at !== -1 && at < index; at = text.indexOf('\n', at + 1)) line += 1;
  return line;
}
