import { SkerryError } from '@skerry/api';
import { z } from 'zod';
import { assertPlainName } from './tar-model.ts';

/** The first file of an archive: what the others are. Nothing is taken from an archive that its manifest does not name. */

export const MANIFEST = 'manifest.json';
export const MANIFEST_MAX_BYTES = 8 * 2 ** 20;
const MAX_FILES = 20_000;

/** One kind of archive, such as a backup. */
export interface ArchiveKind<T> {
  readonly format: string;
  /** The newest that is known; raised when what is written could be misread by those who know the last one. */
  readonly version: number;
  /** What people call it. */
  readonly word: string;
  /** Names that its files may have. */
  readonly names: RegExp;
  readonly about: z.ZodType<T>;
}

export interface ArchiveFile {
  readonly name: string;
  readonly sizeBytes: number;
  readonly sha256: string;
}

export interface Manifest<T> {
  readonly format: string;
  readonly version: number;
  /** Version of the Skerry that wrote it. */
  readonly skerry: string;
  readonly createdAt: string;
  readonly about: T;
  /** In the order of the archive. */
  readonly files: readonly ArchiveFile[];
}

const Head = z.object({ format: z.string(), version: z.int().min(1) });

const Body = z.object({
  skerry: z.string().max(64),
  createdAt: z.iso.datetime(),
  about: z.unknown(),
  files: z
    .array(
      z.strictObject({
        name: z.string(),
        sizeBytes: z.int().min(0),
        sha256: z.string().regex(/^[0-9a-f]{64}$/),
      }),
    )
    .max(MAX_FILES),
});

/** @throws SkerryError `unsupported` (of a newer Skerry), `invalid` */
export function parseManifest<T>(text: string, kind: ArchiveKind<T>): Manifest<T> {
  const json = fromJson(text);
  const head = Head.safeParse(json);
  if (!head.success || head.data.format !== kind.format) throw not(kind, 'its manifest is of something else');
  const { format, version } = head.data;
  if (version > kind.version) {
    throw new SkerryError('unsupported', `This ${kind.word} has format ${version}; this Skerry knows ${kind.version}`, {
      remedy: 'Use the newer Skerry that wrote it, or upgrade this one.',
      details: { version, known: kind.version },
    });
  }
  const body = Body.safeParse(json);
  if (!body.success) throw not(kind, `its manifest is damaged: ${z.prettifyError(body.error).split('\n')[0]}`);
  const about = kind.about.safeParse(body.data.about);
  if (!about.success) throw not(kind, `its manifest is damaged: ${z.prettifyError(about.error).split('\n')[0]}`);
  const seen = new Set<string>();
  for (const { name } of body.data.files) {
    assertPlainName(name);
    if (!kind.names.test(name) || seen.has(name)) throw not(kind, `'${name}' does not belong in it`);
    seen.add(name);
  }
  return { ...body.data, format, version, about: about.data };
}

function fromJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function not(kind: ArchiveKind<unknown>, problem: string): SkerryError {
  return new SkerryError('invalid', `This is no ${kind.word} of Skerry: ${problem}`, {
    remedy: `Give a ${kind.word} as Skerry has written it.`,
  });
}
