import { isName, MAX_REPLICAS, replicasOf as replicasNamed } from '@skerry/api';
import type { Draft, DraftNic, DraftVm, ImportFacts, Names } from './draft.ts';
import { DEPLOY_LACKS, SERVICE_LACKS } from './compose-lacks.ts';
import { configsOf, secretsOf, volumesOf } from './compose-files.ts';
import { dependsOnOf } from './compose-dependencies.ts';
import { type Entry, lost, type Table, tableOf, translate, unneeded } from './entry.ts';
import { cpusOf, durationOf, memoryOf, restartOf } from './figures.ts';
import { healthOf } from './health.ts';
import { imageOf } from './images.ts';
import { addNic, addressOf, macOf, type OwnedNic } from './nics.ts';
import { portsOf } from './ports.ts';
import { environmentOf, labelsOf, wordsOf } from './texts.ts';

/** Pure: a service of a compose file becomes a VM. */

export interface ComposeContext {
  readonly draft: Draft;
  readonly facts: ImportFacts;
  readonly vms: Names;
  readonly networks: Names;
  readonly secrets: Names;
  readonly configs: ReadonlyMap<string, Entry>;
  readonly usedConfigs: Set<string>;
  /** What needs all VMs to be there: done last. */
  readonly later: Array<() => void>;
}

export interface Service {
  readonly context: ComposeContext;
  readonly name: string;
  readonly vm: DraftVm;
  entrypoint?: string[];
  command?: string[];
}

const SERVICE: Table<Service> = tableOf<Service>({
  ...SERVICE_LACKS,
  image: (entry, { context, name }) => imageOf(entry, context.draft, name),
  entrypoint: (entry, service) => {
    const words = wordsOf(entry);
    if (words !== undefined) service.entrypoint = words;
  },
  command: (entry, service) => {
    const words = wordsOf(entry);
    if (words !== undefined) service.command = words;
  },
  environment: (entry, { vm }) => environmentOf([entry], vm),
  ports: (entry, { context, name }) => portsOf(entry, context.draft, name),
  networks: networksOf,
  links: (entry, { context }) => {
    for (const link of entry.items()) {
      const [service = '', alias = service] = (link.text() ?? '').split(':');
      const name = context.vms.get(service);
      if (name === alias) link.unneeded('VMs of one network find each other by name');
      else
        link.lost(
          `'${alias}' is no name of a VM`,
          name === undefined ? undefined : `Call it ${name} where it is named.`,
        );
    }
  },
  depends_on: dependsOnOf,
  healthcheck: (entry, { vm }) => healthOf(entry, vm),
  deploy: (entry, service) => translate(entry, DEPLOY, service),
  scale: replicasOf,
  restart: (entry, { vm }) => restartOf(entry, vm),
  labels: (entry, { vm }) => labelsOf([entry], vm),
  secrets: secretsOf,
  configs: configsOf,
  volumes: volumesOf,
  mem_limit: (entry, { vm }) => memoryOf(entry, vm),
  cpus: (entry, { vm }) => cpusOf(entry, vm),
  stop_grace_period: (entry, { vm }) => {
    const text = durationOf(entry, 0, 600_000);
    if (text !== undefined) vm.stopGracePeriod = text;
  },
  mac_address: (entry, { context: { draft, later }, name, vm }) => {
    later.push(() => {
      const [nic] = (vm.nics ??= [{ network: 'default' }]);
      if (nic !== undefined) macOf(entry, { draft, vm: name, nic });
    });
  },
  hostname: (entry, { name }) => {
    if (entry.value === name) entry.unneeded('it is the name of the VM');
    else entry.lost(`the host name of a VM is its name: ${name}`);
  },
});

const RESOURCES: Table<Service> = tableOf<Service>({
  limits: (entry, service) => translate(entry, LIMITS, service),
  reservations: lost('a VM has its CPUs and its memory; nothing else is set aside for it'),
});

const LIMITS: Table<Service> = tableOf<Service>({
  cpus: (entry, { vm }) => cpusOf(entry, vm),
  memory: (entry, { vm }) => memoryOf(entry, vm),
  pids: lost('the number of processes is not limited'),
});

const POLICIES: ReadonlyMap<string, string> = new Map([
  ['none', 'never'],
  ['on-failure', 'on-failure'],
  ['any', 'always'],
]);

const RESTART_POLICY: Table<Service> = tableOf<Service>({
  condition: (entry, { vm }) => {
    const condition = entry.text();
    if (condition === undefined) return;
    const policy = POLICIES.get(condition);
    if (policy === undefined) entry.lost('it is none of none, on-failure, any');
    // The number of tries may have been read already.
    else
      vm.restart =
        typeof vm.restart === 'string' && policy !== 'never' ? vm.restart.replace(/^[a-z-]+/, policy) : policy;
  },
  max_attempts: (entry, { vm }) => {
    const tries = Number(entry.text());
    const policy = typeof vm.restart === 'string' ? (vm.restart.split(':')[0] ?? '') : 'always';
    if (!Number.isInteger(tries) || tries < 1 || tries > 9999) entry.lost('it is no whole number from 1 to 9999');
    else if (policy === 'never') entry.lost('a VM that is never restarted has no number of tries');
    else vm.restart = `${policy}:${tries}`;
  },
  delay: lost(
    'the first try comes after 1 s, each further one after twice as long',
    'Write `restart: { policy: always, backoff: 5s }`.',
  ),
  window: lost('a VM counts as up again after a while of its own'),
});

const DEPLOY: Table<Service> = tableOf<Service>({
  ...DEPLOY_LACKS,
  mode: (entry) => {
    if (entry.value === 'replicated') entry.unneeded('it is the default');
    else entry.lost('a node is on one host', 'Write `replicas: N`.');
  },
  replicas: replicasOf,
  resources: (entry, service) => translate(entry, RESOURCES, service),
  restart_policy: (entry, service) => translate(entry, RESTART_POLICY, service),
});

export function serviceOf(entry: Entry, context: ComposeContext): void {
  const name = context.vms.give(entry);
  const vm: DraftVm = { image: 'micro' };
  const service: Service = { context, name, vm };
  context.draft.vms.set(name, vm);
  translate(entry, SERVICE, service);
  const argv = [...(service.entrypoint ?? []), ...(service.command ?? [])];
  if (argv.length > 0) vm.command = argv;
}

function replicasOf(entry: Entry, { context, name, vm }: Service): void {
  const replicas = Number(entry.text());
  if (!Number.isInteger(replicas) || replicas < 0 || replicas > MAX_REPLICAS) {
    entry.lost(`it is no whole number from 0 to ${MAX_REPLICAS}`);
    return;
  }
  vm.replicas = replicas;
  context.later.push(() => {
    const wrong = replicasNamed(name, { replicas })
      .slice(1)
      .find((replica) => !isName(replica) || context.draft.vms.has(replica));
    if (wrong === undefined) return;
    delete vm.replicas;
    entry.lost(`one of them would be called ${wrong}, which is too long, or another VM`);
  });
}

interface ServiceNic {
  readonly service: Service;
  /** Undefined where the VM has none there. */
  readonly nic: DraftNic | undefined;
}

/** What is said of a NIC that there is not is lost with it. */
const onNic = (rule: (entry: Entry, owned: OwnedNic) => void) => {
  return (entry: Entry, { service: { context, name }, nic }: ServiceNic): void => {
    // Addresses of others, and how many there are of it, are known in the end.
    if (nic !== undefined) context.later.push(() => rule(entry, { draft: context.draft, vm: name, nic }));
  };
};

const NIC: Table<ServiceNic> = tableOf<ServiceNic>({
  aliases: (entry) => {
    for (const each of entry.items()) {
      const alias = each.text();
      if (alias !== undefined) each.lost(`a VM has one name on its networks, and is not found as '${alias}'`);
    }
  },
  ipv4_address: onNic(addressOf),
  mac_address: onNic(macOf),
  ipv6_address: lost('addresses of IPv6 follow from the MAC', 'Write `ipv6: fd00:50::/64` for the network.'),
  link_local_ips: lost('addresses of IPv6 follow from the MAC', 'Write `ipv6: fd00:50::/64` for the network.'),
  interface_name: lost('the NICs of a VM are eth0, eth1, ... in the order of its networks'),
  driver_opts: lost('options of a driver have no counterpart'),
  gw_priority: lost('the first network leads to the outside'),
  priority: unneeded('the NICs of a VM are in the order of its networks'),
});

function networksOf(entry: Entry, service: Service): void {
  const { context, vm } = service;
  const named = entry.isMapping ? entry.entries() : entry.items();
  const nics: DraftNic[] = [];
  for (const each of named) {
    const text = entry.isMapping ? each.key : each.text();
    if (text === undefined) continue;
    const name = context.networks.get(text) ?? (text === 'default' ? 'default' : undefined);
    if (name === undefined) each.lost(`there is no network '${text}' in this file`);
    const nic = name === undefined ? undefined : addNic(each, nics, name);
    if (entry.isMapping && !each.isEmpty) translate(each, NIC, { service, nic });
  }
  if (nics.length > 0) vm.nics = nics;
}
