import { access, mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { SkerryError } from '@skerry/api';
import { run } from '../hosts/index.ts';
import type { LaunchDisk } from '../hypervisors/index.ts';
import type { BootFiles } from './ports.ts';

/** A VM's own disk: an overlay that holds only what differs from its image. */
export function vmDisk(dir: string, image: BootFiles['image']): LaunchDisk {
  return { path: join(dir, 'disk.qcow2'), format: 'qcow2', readonly: false, backing: image.disk };
}

/**
 * Makes the disk if it is not there.
 * @param diskMib virtual size; the image's when undefined
 * @throws SkerryError `invalid` (smaller than the image), `no-space`, `failed`
 */
export async function ensureDisk(
  dir: string,
  image: BootFiles['image'],
  diskMib: number | undefined,
  signal?: AbortSignal,
): Promise<void> {
  const disk = vmDisk(dir, image);
  if (await exists(disk.path)) return;
  assertDiskSize(image, diskMib);
  const sizeBytes = diskMib === undefined ? image.virtualSizeBytes : diskMib * 2 ** 20;
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const temporary = `${disk.path}.new`;
  try {
    // The format of the base is named: probing it would let its content choose (CVE-2008-2004 and its like).
    await run(
      [
        'qemu-img',
        'create',
        '-q',
        '-f',
        'qcow2',
        '-b',
        image.disk.path,
        '-F',
        image.disk.format,
        temporary,
        String(sizeBytes),
      ],
      signal === undefined ? {} : { signal },
    );
    await rename(temporary, disk.path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw diskFullError(error) ?? error;
  }
}

export function assertDiskSize(image: BootFiles['image'], diskMib: number | undefined): void {
  const imageMib = Math.ceil(image.virtualSizeBytes / 2 ** 20);
  if (diskMib === undefined || diskMib >= imageMib) return;
  throw new SkerryError('invalid', `A disk of ${diskMib} MiB is smaller than its image, which has ${imageMib} MiB`, {
    remedy: `Ask for at least ${imageMib}Mi, or leave the size out.`,
  });
}

function diskFullError(error: unknown): SkerryError | undefined {
  if (!(error instanceof SkerryError) || !/No space left|ENOSPC/.test(error.message)) return undefined;
  return new SkerryError('no-space', 'The disk of this host is full', {
    remedy: 'Delete VMs or images that are not needed (`skerry list`, `skerry image list`), or add room.',
    cause: error,
  });
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
