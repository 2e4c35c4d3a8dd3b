import { createHash } from 'node:crypto';

/** Archives as an attacker would write them: any header, any content. */

export interface TarMember {
  readonly name: string;
  readonly content?: string | Buffer;
  readonly type?: string;
  readonly link?: string;
  /** Instead of the content's. */
  readonly size?: string;
  readonly damage?: boolean;
}

export function tar(members: readonly TarMember[], { isEnded = true } = {}): Buffer {
  const blocks = members.flatMap((member) => {
    const content = Buffer.from(member.content ?? '');
    return [headerOf(member, content.length), content, Buffer.alloc((512 - (content.length % 512)) % 512)];
  });
  return Buffer.concat([...blocks, Buffer.alloc(isEnded ? 1024 : 0)]);
}

function headerOf({ name, type = '0', link = '', size, damage = false }: TarMember, length: number): Buffer {
  const block = Buffer.alloc(512);
  block.write(name, 0, 'latin1');
  block.write('0000600\0', 100);
  block.write('0000000\0', 108);
  block.write('0000000\0', 116);
  block.write(size ?? `${length.toString(8).padStart(11, '0')}\0`, 124, 'latin1');
  block.write('00000000000\0', 136);
  block.write('        ', 148);
  block.write(type, 156);
  block.write(link, 157, 'latin1');
  block.write('ustar  \0', 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  if (damage) block[0] = (block[0] ?? 0) ^ 1;
  return block;
}

export function sha256(content: string | Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}

/** A manifest that tells the truth about its members, but for what `change` says. */
export function manifest(
  format: string,
  about: unknown,
  members: readonly TarMember[],
  change: object = {},
): TarMember {
  const files = members.map(({ name, content = '' }) => ({
    name,
    sizeBytes: Buffer.from(content).length,
    sha256: sha256(content),
  }));
  const body = { format, version: 1, skerry: '0', createdAt: new Date().toISOString(), about, files, ...change };
  return { name: 'manifest.json', content: JSON.stringify(body) };
}
