import {
  CaptureService,
  LinkService,
  NicService,
  type CapturePorts,
  type LinkPorts,
  type NicPorts,
} from '@skerry/engine';

/** NICs put together: those of a VM, the links between them, and what passes at them. */

export interface NicParts
  extends Omit<NicPorts, 'endCapture'>, Omit<LinkPorts, 'nics' | 'vms'>, Pick<CapturePorts, 'captures' | 'socketDir'> {
  readonly listVms: LinkPorts['vms'];
}

export function openNics(parts: NicParts) {
  const { listVms, verbs, onError, controller, captures, socketDir } = parts;
  const dirs = (id: string) => controller.dirs(id);
  const service = new CaptureService({ vms: listVms, verbs, captures, socketDir, dirs });
  const nics = new NicService({ ...parts, endCapture: (nic) => service.leave(nic) });
  const links = new LinkService({ verbs, vms: listVms, nics, onError });
  return { nics, links, captures: service };
}
