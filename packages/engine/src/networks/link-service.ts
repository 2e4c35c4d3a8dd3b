import { linkName, nicRefParts, SkerryError, type LinkCreate, type LinkInfo, type Network, type Vm } from '@skerry/api';
import { uninterrupted } from '../tasks/index.ts';
import type { NicService, WorkOptions } from '../vms/index.ts';
import { endsOf, findLink, isByHand, linkInfo, UNFINISHED } from './link-plan.ts';
import type { NetworkVerbs } from './network-verbs.ts';

/** Links made by hand: a network of its own for two NICs, which come and go with it. */

export interface LinkPorts {
  readonly verbs: NetworkVerbs;
  readonly vms: () => Promise<readonly Vm[]>;
  readonly nics: Pick<NicService, 'add' | 'remove' | 'assertCanAdd' | 'assertCanChange' | 'canChange'>;
  readonly onError: (error: SkerryError, what: string) => void;
}

interface End {
  readonly vm: Vm;
  readonly index: number;
}

export class LinkService {
  readonly #ports: LinkPorts;

  constructor(ports: LinkPorts) {
    this.#ports = ports;
  }

  async list(): Promise<LinkInfo[]> {
    const links = (await this.#ports.verbs.list()).filter(({ spec }) => spec.mode === 'link');
    return Promise.all(links.map((link) => this.#info(link)));
  }

  /** @throws SkerryError `not-found` */
  async find(ref: string): Promise<Network> {
    const { verbs, vms } = this.#ports;
    return findLink(ref, await verbs.list(), await vms());
  }

  /**
   * Whether `create` can do it, as far as can be seen now.
   * @throws SkerryError `not-found` (VM), `invalid`, `in-use` (NIC), `conflict`, `unsupported` (no spare device), `wrong-state`
   */
  async check({ ends }: LinkCreate, work: WorkOptions): Promise<void> {
    const both = await this.#endsOf(ends);
    if (both[0].vm.id === both[1].vm.id) {
      throw new SkerryError('invalid', `Both ends of the link are at ${both[0].vm.name}`, {
        remedy: 'Name NICs of two VMs.',
      });
    }
    for (const { vm, index } of both) await this.#ports.nics.assertCanAdd(vm.id, index, work);
  }

  /** @throws as `check`, and what becomes clear later: nothing of it is left then */
  async create(wanted: LinkCreate, work: WorkOptions): Promise<LinkInfo> {
    const { verbs, nics } = this.#ports;
    await this.check(wanted, work);
    const [a, b] = await this.#endsOf(wanted.ends);
    const name = linkName(`${a.vm.name}:eth${a.index}`, `${b.vm.name}:eth${b.index}`);
    const link = await verbs.create({ name, labels: {}, mode: 'link', domain: undefined }, UNFINISHED);
    try {
      // Side by side: each waits for its guest.
      const added = await Promise.allSettled(
        [a, b].map(({ vm, index }) => nics.add(vm.id, { network: name, index }, work)),
      );
      for (const one of added) if (one.status === 'rejected') throw one.reason;
      work.signal?.throwIfAborted();
      return await this.#info(await verbs.say(link.id, undefined));
    } catch (error) {
      await uninterrupted(() => this.#takeAway(link));
      throw error;
    }
  }

  /** @throws SkerryError `in-use`: its node declares it; `wrong-state`, `unavailable`: a VM at its end can't let go of the NIC */
  async assertDeletable(link: Network): Promise<void> {
    const { verbs, vms, nics } = this.#ports;
    await verbs.assertNotDeclared(link);
    const all = await vms();
    for (const end of endsOf(link.name, all)) {
      const vm = all.find(({ name }) => name === end.vm);
      if (vm !== undefined) nics.assertCanChange(vm);
    }
  }

  /** @throws as `assertDeletable`; what is left can be deleted again */
  async delete(link: Network): Promise<void> {
    await this.assertDeletable(link);
    await this.#ports.verbs.say(link.id, UNFINISHED);
    await this.#takeAway(link);
  }

  /**
   * The links of a VM that is about to be deleted go with it, where the VM at the other end goes as well or can let go of its NIC
   * now; others are left to `link delete`.
   * @returns what takes them away, once the VM is gone; does not throw
   */
  async leave(vmId: string): Promise<() => Promise<void>> {
    const { verbs, vms, nics, onError } = this.#ports;
    const all = await vms();
    const going = (await verbs.list()).filter(({ spec, name }) => {
      const ends = all.filter(({ status }) => status.nics.some((nic) => nic.network === name));
      const isIts = spec.mode === 'link' && isByHand(name, all) && ends.some(({ id }) => id === vmId);
      return isIts && ends.every((vm) => vm.id === vmId || isGoing(vm) || nics.canChange(vm));
    });
    for (const { id } of going) await verbs.say(id, UNFINISHED);
    return async () => {
      for (const link of going) {
        await this.#takeAway(link).catch((error: unknown) => onError(SkerryError.from(error), `link ${link.name}`));
      }
    };
  }

  /** After a restart of the daemon: what was half made or half deleted goes. Does not wait for it. */
  async recover(): Promise<void> {
    for (const link of await this.#ports.verbs.list()) {
      if (link.spec.mode !== 'link' || link.status.message !== UNFINISHED) continue;
      this.#takeAway(link).catch((error: unknown) => this.#ports.onError(SkerryError.from(error), `link ${link.name}`));
    }
  }

  async #takeAway(link: Network): Promise<void> {
    const { verbs, vms, nics } = this.#ports;
    const all = (await vms()).filter((vm) => !isGoing(vm));
    const gone = await Promise.allSettled(
      endsOf(link.name, all).map(({ vm: name, nic }) => {
        const id = all.find((vm) => vm.name === name)?.id ?? '';
        return nics.remove(id, Number(nic.slice('eth'.length)));
      }),
    );
    for (const one of gone) {
      if (one.status === 'rejected' && SkerryError.from(one.reason).code !== 'not-found') throw one.reason;
    }
    // One that goes takes its NIC along, and the link once it is gone: the last of two.
    if (endsOf(link.name, await vms()).length === 0) await verbs.delete(link.name);
  }

  async #info(link: Network): Promise<LinkInfo> {
    const { verbs, vms } = this.#ports;
    return linkInfo(link, await vms(), await verbs.nodeOf(link.name));
  }

  /** @throws SkerryError `not-found` */
  async #endsOf(ends: LinkCreate['ends']): Promise<[End, End]> {
    const vms = await this.#ports.vms();
    return ends.map((end) => {
      const { vm: ref, index } = nicRefParts(end) ?? { vm: end, index: 0 };
      const vm = vms.find(({ name, id }) => name === ref || id === ref);
      if (vm !== undefined) return { vm, index };
      throw new SkerryError('not-found', `There is no VM '${ref}'`, { remedy: 'See `skerry list`.' });
    }) as [End, End];
  }
}

function isGoing({ status }: Vm): boolean {
  return status.state === 'deleting';
}
