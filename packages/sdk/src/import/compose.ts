import { Draft, type ImportFacts, Names } from './draft.ts';
import { type Entry, lost, type Table, tableOf, translate, translateKey, unneeded } from './entry.ts';
import { type ComposeContext, serviceOf } from './compose-service.ts';
import { networkOf } from './compose-network.ts';

/** Pure: a compose file (the Compose Specification, which versions 2 and 3 of the format became). */

const FLATTEN = 'Have compose write it out in full (`docker compose config > flat.yaml`), and import that.';

const TOP: Table<ComposeContext> = tableOf<ComposeContext>({
  version: unneeded('it means nothing to compose either'),
  name: () => undefined,
  include: lost('other files are not read', FLATTEN),
  // Read before the services, which name them.
  networks: () => undefined,
  secrets: (entry, context) => {
    for (const secret of entry.entries()) secretOf(secret, context);
  },
  configs: (entry, context) => {
    for (const config of entry.entries()) {
      if (!context.usedConfigs.has(config.key)) config.lost('no service uses it');
    }
  },
  volumes: (entry) => {
    for (const volume of entry.entries()) {
      volume.lost(
        'there are no volumes beside disks: what a VM writes is on its own disk, and goes with the VM',
        'Share a directory of the host where it is to outlive the VM: `shares: [./data:/data]`.',
      );
    }
  },
  services: (entry, context) => {
    for (const service of entry.entries()) serviceOf(service, context);
  },
  models: lost('VMs are not given language models'),
});

export function fromCompose(root: Entry, facts: ImportFacts): Draft {
  const draft = new Draft();
  const configs = root.entry('configs');
  const declaredConfigs = configs?.isMapping === true ? configs.entries() : [];
  const context: ComposeContext = {
    draft,
    facts,
    vms: new Names('service'),
    networks: new Names('network'),
    secrets: new Names('secret'),
    configs: new Map(declaredConfigs.map((config) => [config.key, config])),
    usedConfigs: new Set(),
    later: [],
  };
  // What services name has its name before they do.
  const networks = root.entry('networks');
  if (networks !== undefined && !networks.isEmpty) {
    for (const network of networks.entries()) networkOf(network, context);
  }
  const services = root.entry('services');
  if (services?.isMapping === true) for (const service of services.entries()) context.vms.give(service);
  // Those that are used are known after the services.
  const late = ['configs'];
  for (const entry of root.entries()) if (!late.includes(entry.key)) translateKey(entry, TOP, context);
  for (const entry of root.entries()) if (late.includes(entry.key)) translateKey(entry, TOP, context);
  joinNetworks(draft);
  for (const each of context.later) each();
  return draft;
}

const SECRET: Table<{ readonly name: string }> = tableOf<{ readonly name: string }>({
  file: (entry, { name }) => {
    const path = entry.text();
    if (path !== undefined) entry.lost(notSet(name), `Type \`skerry secret set ${name} --from-file ${path}\`.`);
  },
  environment: (entry, { name }) => {
    const variable = entry.text();
    if (variable !== undefined)
      entry.lost(notSet(name), `Type \`printf %s "$${variable}" | skerry secret set ${name}\`.`);
  },
  external: (entry, { name }) => entry.lost(`${name} has to be set once`, `Type \`skerry secret set ${name}\`.`),
  name: lost('a secret has one name'),
  labels: lost('a secret has no labels'),
  driver: lost('secrets are kept by the daemon'),
  driver_opts: lost('secrets are kept by the daemon'),
  template_driver: lost('a secret is given as it is'),
});

function notSet(secret: string): string {
  return `values are no part of a node file: ${secret} has to be set once`;
}

function secretOf(entry: Entry, { secrets }: ComposeContext): void {
  const name = secrets.give(entry);
  if (entry.isEmpty) entry.lost(`${name} has to be set once`, `Type \`skerry secret set ${name}\`.`);
  else translate(entry, SECRET, { name });
}

/** A service that names none is on `default`, which goes without saying where no others are declared. */
function joinNetworks({ vms, networks }: Draft): void {
  if (networks.size === 0) return;
  for (const vm of vms.values()) {
    vm.nics ??= [{ network: 'default' }];
    if (vm.nics.some(({ network }) => network === 'default') && !networks.has('default')) networks.set('default', null);
  }
}
