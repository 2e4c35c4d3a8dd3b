import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkNodeSpec, NodeSpec, nodeSpecOf } from '@skerry/api';
import * as fc from '@skerry/testkit/properties';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { type Finding, importNodeFile } from '../src/index.ts';

/** Nothing is dropped: whatever stands in a file is in the node file, or in the list of what is not. */

let directory: string;
beforeAll(async () => void (directory = await mkdtemp(join(tmpdir(), 'skerry-import-all-'))));
afterAll(() => rm(directory, { recursive: true, force: true }));

const RUNS = 40;
const TIMEOUT_MS = 60_000 * fc.RUNS_FACTOR;
/** Becomes another word at each place, so that it can be found again. */
const MARK = '@';

const word = fc.constant(MARK);
const any: fc.Arbitrary<unknown> = fc.letrec<{ any: unknown }>((tie) => ({
  any: fc.oneof(
    { depthSize: 'small' },
    word,
    fc.constantFrom(MARK, 7, 7.5, true, null, '', '1m30s', '8080:80', `./${MARK}:/${MARK}`, `${MARK}=${MARK}`, '$$'),
    fc.array(tie('any'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom('a', 'file', 'source', 'target', 'test', 'condition', MARK), tie('any'), {
      maxKeys: 3,
    }),
  ),
})).any;
/** Of the right kind, or any. */
const or = (right: fc.Arbitrary<unknown>) => fc.oneof({ weight: 4, arbitrary: right }, { weight: 1, arbitrary: any });
const some = (keys: Record<string, fc.Arbitrary<unknown>>) => fc.record(keys, { requiredKeys: [] });
const words = fc.array(word, { maxLength: 3 });
const name = fc.constantFrom('a', 'b', 'B', 'a_b', 'c', 'a-2');
const names = fc.array(name, { maxLength: 3 });
const health = some({
  test: or(fc.oneof(word, fc.constant(['CMD', MARK, MARK]), fc.constant(['CMD-SHELL', MARK]), fc.constant(['NONE']))),
  interval: or(fc.constantFrom('10s', '1m30s', '90h')),
  retries: or(fc.integer({ min: -1, max: 120 })),
  disable: or(fc.boolean()),
  start_interval: any,
});
const environment = fc.oneof(
  fc.constant([`${MARK}=${MARK}`, MARK]),
  fc.dictionary(fc.constantFrom('A', 'B', MARK), or(word)),
);
const port = fc.oneof(
  fc.integer({ min: 1, max: 400 }).map((each) => `${each}:${each}`),
  fc.constantFrom('1-3:4-6', '80', '9:9/udp', MARK),
  some({ target: or(fc.constant(80)), published: or(fc.constant(81)), host_ip: word, mode: word }),
);
const volume = fc.oneof(
  fc.constantFrom(`./${MARK}:/${MARK}`, `${MARK}:/${MARK}`, `/${MARK}`, `/${MARK}:/etc:ro,${MARK}`),
  some({
    type: or(fc.constantFrom('bind', 'volume')),
    source: or(word),
    target: or(word),
    read_only: fc.boolean(),
    bind: any,
  }),
);
const address = fc.constantFrom('10.1.0.1', '10.1.0.9', '10.1.0.10', '10.1.0.255', '172.20.20.9', MARK);
const mac = fc.constantFrom('02:42:ac:11:00:02', '02-42-AC-11-00-03', '01:00:00:00:00:01', MARK);
const service = some({
  image: or(fc.oneof(word, fc.constant('alpine:3'))),
  command: or(fc.oneof(word, words)),
  entrypoint: or(words),
  environment: or(environment),
  ports: or(fc.array(port, { maxLength: 3 })),
  networks: or(
    fc.oneof(names, fc.dictionary(name, or(some({ ipv4_address: or(address), mac_address: or(mac), what: any })))),
  ),
  mac_address: or(mac),
  depends_on: or(
    fc.oneof(names, fc.dictionary(name, some({ condition: or(fc.constantFrom('service_healthy')), restart: any }))),
  ),
  healthcheck: or(health),
  deploy: or(some({ replicas: or(fc.integer({ min: 0, max: 3 })), resources: any, restart_policy: any, [MARK]: any })),
  labels: or(environment),
  secrets: or(fc.array(fc.oneof(word, some({ source: word, target: word, mode: any })))),
  configs: or(names),
  volumes: or(fc.array(volume, { maxLength: 3 })),
  restart: or(fc.constantFrom('no', 'always', 'on-failure:3')),
  mem_limit: or(fc.constantFrom('64m', '1g', '100')),
  scale: or(fc.integer({ min: 0, max: 3 })),
  privileged: any,
  'x-mine': any,
  [MARK]: any,
});
const network = some({
  internal: or(fc.boolean()),
  ipam: or(fc.constant({ config: [{ subnet: '10.1.0.0/24' }] })),
  driver: any,
});
const compose = some({
  networks: or(fc.dictionary(name, or(network))),
  volumes: or(fc.dictionary(name, any)),
  secrets: or(fc.dictionary(name, or(some({ file: word, external: any })))),
  configs: or(fc.dictionary(name, or(some({ file: word, content: word, what: any })))),
  version: any,
  include: any,
  [MARK]: any,
}).chain((rest) =>
  fc
    .dictionary(name, fc.oneof({ weight: 9, arbitrary: service }, { weight: 1, arbitrary: any }), {
      minKeys: 1,
      maxKeys: 3,
    })
    .map((services) => ({ ...rest, services })),
);

const definition = some({
  kind: or(fc.constantFrom('linux', 'bridge', 'host', MARK)),
  group: or(fc.constantFrom('g')),
  image: or(word),
  env: or(fc.dictionary(fc.constantFrom('A', MARK), word)),
  exec: or(words),
  binds: or(fc.array(fc.constantFrom(`./${MARK}:/${MARK}`, MARK))),
  ports: or(fc.array(port)),
  cmd: or(word),
  'mgmt-ipv4': or(address),
  healthcheck: or(health),
  [MARK]: any,
});
const prefixed = fc.constantFrom('10.9.0.5/24', '10.9.0.1/24', '10.8.0.9/24', '10.9.0.5', `10.9.0.7/${MARK}`);
const end = fc.tuple(name, fc.constantFrom('eth1', 'eth2', 'eth3', 'e1-1', 'e1-10')).map((each) => each.join(':'));
const link = some({
  endpoints: or(
    fc.array(
      fc.oneof(
        end,
        some({ node: or(name), interface: or(fc.constant('eth3')), mac: or(mac), ipv4: or(prefixed), what: any }),
      ),
      { maxLength: 2 },
    ),
  ),
  type: fc.constantFrom('veth', 'macvlan'),
  mtu: any,
});
const topology = some({
  defaults: or(definition),
  kinds: or(fc.dictionary(fc.constantFrom('linux', 'bridge', MARK), or(definition))),
  groups: or(fc.dictionary(fc.constantFrom('g', 'h'), or(definition))),
  links: or(fc.array(link, { maxLength: 16 })),
  [MARK]: any,
}).chain((rest) =>
  fc
    .dictionary(name, or(definition), { minKeys: 1, maxKeys: 4 })
    .map((nodes) => ({ ...rest, nodes: { ...nodes, z: { kind: 'linux' } } })),
);
const containerlab = fc.record({
  name: word,
  mgmt: or(
    some({ network: or(fc.oneof(word, name)), 'ipv4-subnet': or(fc.constantFrom('10.1.0.0/24', 'auto')), mtu: any }),
  ),
  topology,
});

test.each([
  ['a compose file', compose],
  ['a topology', containerlab],
])(
  'all that stands in %s is translated or listed',
  async (what, files) => {
    await fc.assert(
      fc.asyncProperty(files, async (file) => {
        const { value, leaves } = marked(file);
        const path = join(directory, `${what.split(' ')[1]}.yml`);
        await writeFile(path, stringify(value, { aliasDuplicateObjects: false }));
        const { text, file: node, findings } = await importNodeFile(path);
        for (const leaf of leaves) {
          if (!leaf.marks.every((mark) => text.includes(mark)) && !isListed(leaf.path, findings))
            expect.fail(`${leaf.path.join('.')}\n${text}`);
        }
        for (const { line, column } of findings) expect(line * column).toBeGreaterThan(0);
        const spec = NodeSpec.parse(
          nodeSpecOf(node, { sources: new Map(), recipes: new Map(), absolute: (each) => join('/', each) }),
        );
        expect(checkNodeSpec(spec)).toEqual([]);
      }),
      { numRuns: RUNS },
    );
  },
  TIMEOUT_MS,
);

interface Leaf {
  readonly path: readonly string[];
  readonly marks: readonly string[];
}

/** The same with a word of its own for each mark, and where each of them is. */
function marked(file: unknown): { value: unknown; leaves: Leaf[] } {
  const leaves: Leaf[] = [];
  let count = 0;
  const visit = (value: unknown, path: readonly string[], before: readonly string[]): unknown => {
    const marks = [...before];
    const own = (text: string) =>
      text.replaceAll(MARK, () => {
        marks.push(`m${(count += 1)}x`);
        return marks.at(-1) ?? '';
      });
    if (Array.isArray(value) && value.length > 0)
      return value.map((each, index) => visit(each, [...path, String(index)], []));
    if (typeof value === 'object' && value !== null && Object.keys(value).length > 0) {
      return Object.fromEntries(
        Object.entries(value).map(([key, each]) => {
          marks.length = 0;
          const name = own(key);
          return [name, visit(each, [...path, name], marks)];
        }),
      );
    }
    const made = typeof value === 'string' ? own(value) : value;
    // An empty list says nothing by itself.
    if (marks.length > 0) leaves.push({ path, marks });
    return made;
  };
  return { value: visit(file, [], []), leaves };
}

/** At its place, or around it: what is lost as a whole is not listed part by part. */
function isListed(path: readonly string[], findings: readonly Finding[]): boolean {
  const text = path.join('.');
  return findings.some(
    (finding) => finding.path === text || (finding.kind !== 'changed' && text.startsWith(`${finding.path}.`)),
  );
}
