import type { FastifyInstance } from 'fastify';
import { CaptureStart, LinkCreate, NicAdd, NicName, NicSet, OPERATIONS } from '@skerry/api';
import { refOf } from '@skerry/engine';
import type { Platform } from '../platform.ts';
import { routePath, workOf, type Handlers } from './routes.ts';

type NicPlatform = Pick<Platform, 'vms' | 'nics' | 'links' | 'captures'>;

/** Operations about NICs of VMs, the links between them, and what passes at them. */
export function nicHandlers({ vms, nics, links, captures }: NicPlatform): Handlers {
  return {
    answers: {
      'vm.nic.list': async (_, { vm = '' }) => nics.list((await vms.get(vm)).id),
      'link.list': () => links.list(),
      'capture.list': () => captures.list(),
      'capture.start': async (request, { vm = '', nic }) => {
        const wanted = CaptureStart.parse(request.body ?? {});
        return captures.start(await vms.get(vm), indexOf(NicName.parse(nic)), wanted);
      },
      'capture.stop': async (_, { vm = '', nic }) => captures.stop(await vms.get(vm), indexOf(NicName.parse(nic))),
    },
    works: {
      'vm.nic.add': async (request, params) => {
        const nic = NicAdd.parse(request.body);
        const vm = await vms.get(params['vm'] ?? '');
        return {
          description: `Add a NIC on ${nic.network} to ${vm.name}`,
          target: refOf(vm),
          run: (context) => nics.add(vm.id, nic, workOf(context)),
        };
      },
      'vm.nic.set': async (request, params) => {
        const patch = NicSet.parse(request.body);
        const name = NicName.parse(params['nic']);
        const vm = await vms.get(params['vm'] ?? '');
        return {
          description: `Change ${name} of ${vm.name}`,
          target: refOf(vm),
          run: () => nics.set(vm.id, indexOf(name), patch),
        };
      },
      'vm.nic.remove': async (_, params) => {
        const name = NicName.parse(params['nic']);
        const vm = await vms.get(params['vm'] ?? '');
        return {
          description: `Remove ${name} of ${vm.name}`,
          target: refOf(vm),
          run: () => nics.remove(vm.id, indexOf(name)),
        };
      },
      'link.create': async (request) => {
        const wanted = LinkCreate.parse(request.body);
        await links.check(wanted, {});
        return {
          description: `Link ${wanted.ends.join(' and ')}`,
          run: (context) => links.create(wanted, workOf(context)),
        };
      },
      'link.delete': async (_, params) => {
        const link = await links.find(params['link'] ?? '');
        await links.assertDeletable(link);
        return {
          description: `Delete the link ${link.name}`,
          target: refOf(link),
          run: async () => {
            await links.delete(link);
            return {};
          },
        };
      },
    },
  };
}

/** Frames go from the switch, or its file, to whoever asked: we see none of them. */
export function captureRoutes(app: FastifyInstance, { vms, captures }: NicPlatform): void {
  app.get(routePath('capture.read'), async (request, reply) => {
    const { vm: ref, nic } = request.params as { vm: string; nic: string };
    const { follow } = OPERATIONS['capture.read'].query.parse(request.query);
    const [vm, index] = [await vms.get(ref), indexOf(NicName.parse(nic))];
    const frames = await (follow ? captures.follow(vm, index) : captures.read(vm, index));
    return reply.type('application/vnd.tcpdump.pcap').send(frames);
  });
}

function indexOf(name: string): number {
  return Number(name.slice('eth'.length));
}
