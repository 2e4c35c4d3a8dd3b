import { SkerryError } from '@skerry/api';
import { memoryLack } from '../vms/index.ts';
import { makeMember, removeMember } from './member.ts';
import type { Member, PoolPorts, Wanted } from './ports.ts';
import type { PoolRecords } from './records.ts';

/**
 * Makes one with all that it takes of its host. When it throws, nothing of it is left.
 * @throws SkerryError `no-space`, `invalid` (too little memory for the image), `unsupported` (it can only boot), ...
 */
export async function makeWaiting(
  ports: PoolPorts,
  records: PoolRecords,
  { id, image, cpus, memoryMib, boot, madeOf }: Wanted,
  signal: AbortSignal,
): Promise<Member> {
  const { admission, uids, host } = ports;
  const lack = memoryLack({ image, kernel: 'auto', memoryMib }, boot);
  if (lack !== undefined) {
    throw new SkerryError('invalid', lack.message, {
      remedy: `Ask for more: \`skerry pool set ${image} --memory ${lack.neededMib}Mi\`.`,
    });
  }
  const dirs = ports.dirs(id);
  await using undo = new AsyncDisposableStack();
  const profile = await host();
  await admission.admit(id, { memoryMib }, { yields: true });
  undo.defer(() => admission.release(id));
  const uid = uids.claim(profile);
  undo.defer(() => uids.release(uid));
  await records.add(id);
  undo.defer(async () => {
    await removeMember(dirs);
    await records.remove(id);
  });
  const mac = ports.macOf(id);
  const input = { id, image, cpus, memoryMib, mac, boot, profile, uid, dirs };
  const { live, templateId } = await makeMember(ports, input, signal);
  admission.settle(id);
  undo.move();
  return { id, image, memoryMib, madeOf, mac, templateId, live, isTaken: false };
}
