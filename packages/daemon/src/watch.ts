import { StoreCompactedError, type Resources } from '@skerry/engine';
import type { Vm, VmSpec, VmStatus } from '@skerry/api';

/** All VMs as they are now, then each as it changes. */
export async function* watchVms(vms: Resources<VmSpec, VmStatus>, signal: AbortSignal): AsyncGenerator<Vm, void, void> {
  while (!signal.aborted) {
    const { items, revision } = await vms.list();
    yield* items as readonly Vm[];
    try {
      for await (const event of vms.watch({ fromRevision: revision + 1, signal }))
        if (event.type === 'put') yield event.resource as Vm;
    } catch (error) {
      // Too slow for the watch: what it missed is in the list.
      if (!(error instanceof StoreCompactedError)) throw error;
    }
  }
}

/** Ids of VMs that are deleted from now on. */
export async function* watchDeletes(
  vms: Resources<VmSpec, VmStatus>,
  signal: AbortSignal,
): AsyncGenerator<string, void, void> {
  let known = new Set<string>();
  while (!signal.aborted) {
    const { items, revision } = await vms.list();
    const now = new Set(items.map(({ id }) => id));
    yield* [...known].filter((id) => !now.has(id));
    known = now;
    try {
      for await (const event of vms.watch({ fromRevision: revision + 1, signal })) {
        if (event.type === 'put') known.add(event.id);
        else if (known.delete(event.id)) yield event.id;
      }
    } catch (error) {
      if (!(error instanceof StoreCompactedError)) throw error;
    }
  }
}
