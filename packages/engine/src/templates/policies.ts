import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { SkerryError, TemplatePolicy } from '@skerry/api';

/** Which images are cloned from templates: a small file, `auto` for those that it does not name. */
export class TemplatePolicies {
  readonly #path: string;
  #known: Promise<Map<string, TemplatePolicy>> | undefined;
  #writing: Promise<unknown> = Promise.resolve();

  constructor(path: string) {
    this.#path = path;
  }

  async of(image: string): Promise<TemplatePolicy> {
    return (await this.#all()).get(image) ?? 'auto';
  }

  async eager(): Promise<string[]> {
    return [...(await this.#all())].flatMap(([image, policy]) => (policy === 'eager' ? [image] : []));
  }

  /** The old file or the new one. */
  set(image: string, policy: TemplatePolicy): Promise<void> {
    const written = this.#writing.then(async () => {
      const all = new Map(await this.#all());
      if (policy === 'auto') all.delete(image);
      else all.set(image, policy);
      await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
      const file = await open(`${this.#path}.new`, 'w', 0o600);
      try {
        await file.writeFile(`${JSON.stringify({ version: 1, policies: Object.fromEntries(all) })}\n`);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(`${this.#path}.new`, this.#path);
      this.#known = Promise.resolve(all);
    });
    this.#writing = written.catch(() => undefined);
    return written;
  }

  #all(): Promise<Map<string, TemplatePolicy>> {
    this.#known ??= readPolicies(this.#path);
    this.#known.catch(() => (this.#known = undefined));
    return this.#known;
  }
}

async function readPolicies(path: string): Promise<Map<string, TemplatePolicy>> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return new Map();
  const { version, policies } = JSON.parse(text) as { version: number; policies: Record<string, unknown> };
  if (version !== 1) {
    throw new SkerryError('unsupported', `${path} has version ${version}; this Skerry knows 1`, {
      remedy: 'A newer Skerry wrote it: upgrade this one.',
    });
  }
  return new Map(Object.entries(policies).map(([image, policy]) => [image, TemplatePolicy.parse(policy)]));
}
