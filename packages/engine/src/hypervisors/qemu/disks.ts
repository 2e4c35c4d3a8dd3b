import type { DiskImage, LaunchDisk, PlaceholderDisk } from '../contract.ts';
import type { Descriptors } from './plan.ts';

/** Arguments that define the block nodes of one disk, its base first; the disk's own node is called `name`. */
export function diskNodes(disk: LaunchDisk | PlaceholderDisk, name: string, descriptors: Descriptors): string[] {
  if (disk.format === 'placeholder') {
    const node = { 'node-name': name, driver: 'null-co', size: disk.sizeBytes, 'read-zeroes': true };
    return ['-blockdev', JSON.stringify(node)];
  }
  return imageNodes(disk, name, 0, disk.readonly, descriptors);
}

/** @param depth of the image under the uppermost one. Numbered: a node's name has at most 31 bytes */
function imageNodes(
  image: DiskImage,
  disk: string,
  depth: number,
  readonly: boolean,
  descriptors: Descriptors,
): string[] {
  const name = depth === 0 ? disk : `${disk}b${depth}`;
  const backingName = `${disk}b${depth + 1}`;
  const under = image.backing === undefined ? [] : imageNodes(image.backing, disk, depth + 1, true, descriptors);
  const common = { 'read-only': readonly, discard: 'unmap' };
  const file = {
    'node-name': `${name}f`,
    driver: 'file',
    filename: descriptors.file(name, image.path, readonly ? 'r' : 'rw'),
    aio: 'threads',
    ...common,
  };
  const format = {
    'node-name': name,
    driver: image.format,
    file: file['node-name'],
    // null, not left out: an image's header must never choose a file on the host.
    ...(image.format === 'qcow2' ? { backing: image.backing === undefined ? null : backingName } : {}),
    ...common,
  };
  return [...under, '-blockdev', JSON.stringify(file), '-blockdev', JSON.stringify(format)];
}
