import type { NodeUpInput, Task } from '@skerry/api';
import type { Skerry } from '@skerry/sdk';

/** What is asked of a VM or a node when the daemon is killed, and in which states it may be found afterwards. */

/** `crashed` is never allowed, and can only be left again. */
export type VmModelState = 'absent' | 'stopped' | 'running' | 'paused' | 'crashed';
export type NodeModelState = 'absent' | 'down' | 'up';

export interface Action<S> {
  readonly name: string;
  readonly from: readonly S[];
  /** Besides the state it had. */
  readonly to: readonly S[];
  /** It is done by then, mostly: the daemon is killed at some moment before. */
  readonly usualMs: number;
  /** Whether the VM's process may be another one afterwards, or none, though its state is the same. */
  readonly restarts?: boolean;
  readonly ask: (client: Skerry, name: string) => Promise<Task>;
}

const MEMORY_MIB = 64;

const vm = (name: string) => ({ params: { vm: name } });
const create = (start: boolean) => (client: Skerry, name: string) =>
  client.call('vm.create', { body: { name, memoryMib: MEMORY_MIB, start } });

export const VM_ACTIONS: ReadonlyArray<Action<VmModelState>> = [
  { name: 'create', from: ['absent'], to: ['stopped'], usualMs: 150, ask: create(false) },
  { name: 'create and start', from: ['absent'], to: ['stopped', 'running'], usualMs: 1200, ask: create(true) },
  {
    name: 'start',
    from: ['stopped', 'crashed'],
    to: ['running'],
    usualMs: 1000,
    ask: (client, name) => client.call('vm.start', vm(name)),
  },
  {
    name: 'stop',
    from: ['running', 'paused'],
    to: ['stopped'],
    usualMs: 500,
    // A paused VM is resumed for its shutdown: a daemon that dies then leaves it running until it is stopped again.
    ask: (client, name) => client.call('vm.stop', { ...vm(name), body: {} }),
  },
  {
    name: 'kill',
    from: ['running', 'paused'],
    to: ['stopped'],
    usualMs: 200,
    ask: (client, name) => client.call('vm.kill', vm(name)),
  },
  {
    name: 'restart',
    from: ['running'],
    to: [],
    usualMs: 1500,
    restarts: true,
    ask: (client, name) => client.call('vm.restart', vm(name)),
  },
  {
    name: 'pause',
    from: ['running'],
    to: ['paused'],
    usualMs: 50,
    ask: (client, name) => client.call('vm.pause', vm(name)),
  },
  {
    name: 'resume',
    from: ['paused'],
    to: ['running'],
    usualMs: 50,
    ask: (client, name) => client.call('vm.resume', vm(name)),
  },
  {
    name: 'delete',
    from: ['stopped', 'running', 'paused', 'crashed'],
    to: ['absent'],
    usualMs: 250,
    ask: (client, name) => client.call('vm.delete', { ...vm(name), query: { force: true } }),
  },
];

/** Two VMs, of which one waits for the other to be healthy. */
export function nodeUp(name: string, setting: string): NodeUpInput {
  const common = { image: 'micro', cpus: 1, memoryMib: MEMORY_MIB };
  return {
    name,
    spec: {
      networks: { default: {} },
      vms: {
        db: { ...common, health: { kind: 'exec', argv: ['true'] } },
        web: { ...common, env: { SETTING: setting }, dependsOn: [{ vm: 'db', condition: 'healthy' }] },
      },
    },
  };
}

const node = (name: string) => ({ params: { node: name } });

export const NODE_ACTIONS: ReadonlyArray<Action<NodeModelState>> = [
  {
    name: 'up',
    from: ['absent', 'down'],
    to: ['up'],
    usualMs: 2500,
    ask: (client, name) => client.call('node.up', { body: nodeUp(name, 'first') }),
  },
  {
    name: 'up with a change',
    from: ['up'],
    to: [],
    usualMs: 1800,
    restarts: true,
    ask: (client, name) => client.call('node.up', { body: nodeUp(name, String(performance.now())) }),
  },
  {
    name: 'restart a VM of',
    from: ['up'],
    to: [],
    usualMs: 1500,
    restarts: true,
    ask: (client, name) => client.call('vm.restart', vm(`${name}/web`)),
  },
  {
    name: 'down',
    from: ['up'],
    to: ['down'],
    usualMs: 1200,
    ask: (client, name) => client.call('node.down', node(name)),
  },
  {
    name: 'delete',
    from: ['up', 'down'],
    to: ['absent'],
    usualMs: 1300,
    ask: (client, name) => client.call('node.delete', node(name)),
  },
];
