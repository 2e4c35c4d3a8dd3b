import { dependencyCycle, type NodeSpec } from '@skerry/api';
import type { Service } from './compose-service.ts';
import type { Draft } from './draft.ts';
import { type Entry, type Table, tableOf, translate } from './entry.ts';

/** Pure: the order in which the services of a compose file start. */

type Condition = 'started' | 'healthy';

const KEYS: Table<{ condition: Condition }> = tableOf<{ condition: Condition }>({
  condition: (entry, into) => {
    const condition = entry.text();
    if (condition === 'service_healthy') into.condition = 'healthy';
    else if (condition === 'service_completed_successfully') {
      entry.lost(
        'it is not waited until a VM has ended: it is waited until it has started',
        'Make it part of the command.',
      );
    } else if (condition !== undefined && condition !== 'service_started') {
      entry.lost(`'${condition}' is no condition that is known`);
    }
  },
  restart: (entry) => {
    const restart = entry.flag();
    if (restart === true) entry.lost('a VM is not restarted because another one was');
    else if (restart === false) entry.unneeded('it is the default');
  },
  required: (entry) => {
    const required = entry.flag();
    if (required === false) entry.lost('every dependency is needed');
    else if (required === true) entry.unneeded('it is the default');
  },
});

export function dependsOnOf(entry: Entry, { context, name }: Service): void {
  for (const each of entry.isMapping ? entry.entries() : entry.items()) {
    const text = entry.isMapping ? each.key : each.text();
    if (text === undefined) continue;
    const wanted: { condition: Condition } = { condition: 'started' };
    if (entry.isMapping && !each.isEmpty) translate(each, KEYS, wanted);
    context.later.push(() =>
      addDependency(each, context.draft, { name, target: context.vms.get(text), text, ...wanted }),
    );
  }
}

interface Wanted {
  readonly name: string;
  readonly text: string;
  readonly target: string | undefined;
  readonly condition: Condition;
}

function addDependency(entry: Entry, draft: Draft, { name, text, target, condition }: Wanted): void {
  const vm = draft.vms.get(name);
  if (vm === undefined) return;
  if (target === undefined) {
    entry.lost(`there is no service '${text}' in this file`);
    return;
  }
  const others = vm.dependsOn as Record<string, { condition: Condition }> | undefined;
  vm.dependsOn = { ...others, [target]: { condition } };
  if (hasCycle(draft)) {
    entry.lost(`${target} itself waits for ${name}: one of the two has to be first`);
    if (others === undefined) delete vm.dependsOn;
    else vm.dependsOn = others;
  } else if (condition === 'healthy' && draft.vms.get(target)?.health === undefined) {
    vm.dependsOn = { ...others, [target]: { condition: 'started' } };
    entry.changed(
      `${target} says of itself no health check: it is waited until it has started`,
      `Write \`health\` of ${target}, and \`condition: healthy\`.`,
    );
  }
}

function hasCycle(draft: Draft): boolean {
  const vms = [...draft.vms].map(([name, { dependsOn }]) => [
    name,
    { dependsOn: Object.keys(dependsOn ?? {}).map((vm) => ({ vm, condition: 'started' })) },
  ]);
  return dependencyCycle({ vms: Object.fromEntries(vms) as NodeSpec['vms'] }) !== undefined;
}
