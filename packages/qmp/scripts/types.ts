/** The answer of `query-qmp-schema`, and TypeScript types made of it. Pure: no QEMU, no files. */

export interface Member {
  readonly name: string;
  readonly type: string;
  /** Present (null) when the member may be left out. */
  readonly default?: null;
}

export type Entity =
  | { readonly 'meta-type': 'builtin'; readonly name: string; readonly 'json-type': string }
  | { readonly 'meta-type': 'enum'; readonly name: string; readonly values: readonly string[] }
  | { readonly 'meta-type': 'array'; readonly name: string; readonly 'element-type': string }
  | { readonly 'meta-type': 'alternate'; readonly name: string; readonly members: readonly { type: string }[] }
  | {
      readonly 'meta-type': 'object';
      readonly name: string;
      readonly members: readonly Member[];
      readonly tag?: string;
      readonly variants?: readonly { case: string; type: string }[];
    }
  | {
      readonly 'meta-type': 'command';
      readonly name: string;
      readonly 'arg-type': string;
      readonly 'ret-type': string;
    }
  | { readonly 'meta-type': 'event'; readonly name: string; readonly 'arg-type': string };

type Declared = Exclude<Entity, { 'meta-type': 'builtin' | 'array' | 'command' | 'event' }>;

const BUILTINS: Readonly<Record<string, string>> = {
  string: 'string',
  value: 'unknown',
  boolean: 'boolean',
  int: 'number', // Past 2^53 - 1 it would lose digits; QEMU's own counters stay below.
  number: 'number',
  null: 'null',
};

/** Commands that QEMU reads without its schema: any further property is handed on to the device. */
const OPEN_COMMANDS: ReadonlySet<string> = new Set(['device_add']);

/**
 * QEMU masks the names of its types (they are numbers that change with each build), so a type is named after where it
 * is met first: `QueryStatusReturn`, `QueryBlockReturnInserted`, ...
 * @returns the declarations and the two maps, without a header
 */
export function typesOf(schema: readonly Entity[]): string {
  const byName = new Map(schema.map((entity) => [entity.name, entity]));
  const namesByMasked = new Map<string, string>();
  const taken = new Set<string>(['QmpCommands', 'QmpEvents']);
  const queue: Declared[] = [];

  function refer(masked: string, hint: string): string {
    const entity = byName.get(masked);
    if (entity === undefined) throw new Error(`the schema has no type ${masked}`);
    switch (entity['meta-type']) {
      case 'builtin':
        return BUILTINS[entity['json-type']] ?? 'unknown';
      case 'array': {
        const element = refer(entity['element-type'], hint);
        return `${element}[]`;
      }
      case 'command':
      case 'event':
        throw new Error(`${masked} is no type`);
      default: {
        const known = namesByMasked.get(masked);
        if (known !== undefined) return known;
        const name = free(hint);
        namesByMasked.set(masked, name);
        queue.push(entity);
        return name;
      }
    }
  }

  function free(hint: string): string {
    let name = hint;
    for (let n = 2; taken.has(name); n += 1) name = `${hint}${n}`;
    taken.add(name);
    return name;
  }

  function isEmpty(masked: string): boolean {
    const entity = byName.get(masked);
    return entity?.['meta-type'] === 'object' && entity.members.length === 0 && entity.variants === undefined;
  }

  const commands: string[] = [];
  const events: string[] = [];
  for (const entity of schema.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    if (entity['meta-type'] === 'command') {
      const base = pascal(entity.name);
      const closed = isEmpty(entity['arg-type']) ? 'Nothing' : refer(entity['arg-type'], `${base}Arguments`);
      const args = OPEN_COMMANDS.has(entity.name) ? `${closed} & Record<string, unknown>` : closed;
      const returns = isEmpty(entity['ret-type']) ? 'Nothing' : refer(entity['ret-type'], `${base}Return`);
      commands.push(`  ${key(entity.name)}: { arguments: ${args}; returns: ${returns} };`);
    } else if (entity['meta-type'] === 'event') {
      const data = isEmpty(entity['arg-type']) ? 'Nothing' : refer(entity['arg-type'], `${pascal(entity.name)}Data`);
      events.push(`  ${key(entity.name)}: ${data};`);
    }
  }

  const declarations: string[] = [];
  for (let entity = queue.shift(); entity !== undefined; entity = queue.shift()) {
    const name = namesByMasked.get(entity.name) ?? entity.name;
    declarations.push(`export type ${name} = ${body(entity, name)};`);
  }

  function body(entity: Declared, name: string): string {
    switch (entity['meta-type']) {
      case 'enum':
        return entity.values.map((value) => `'${value}'`).join(' | ') || 'never';
      case 'alternate':
        return entity.members.map((member, index) => refer(member.type, `${name}${index}`)).join(' | ');
      case 'object': {
        const { tag, variants } = entity;
        const common = entity.members.filter((member) => member.name !== tag);
        if (tag === undefined || variants === undefined) return fields(entity.members, name);
        const cases = variants.map((variant) => {
          const head = `{ ${key(tag)}: '${variant.case}' }`;
          return isEmpty(variant.type) ? head : `(${head} & ${refer(variant.type, name + pascal(variant.case))})`;
        });
        const either = cases.join(' | ');
        return common.length === 0 ? either : `${fields(common, name)} & (${either})`;
      }
    }
  }

  function fields(members: readonly Member[], name: string): string {
    const parts = members.map((member) => {
      const optional = 'default' in member;
      const type = refer(member.type, name + pascal(member.name));
      return `${key(member.name)}${optional ? '?' : ''}: ${type}${optional ? ' | undefined' : ''}`;
    });
    return parts.length === 0 ? 'Nothing' : `{ ${parts.join('; ')} }`;
  }

  return [
    '/** An empty object. */',
    'export type Nothing = Record<string, never>;',
    ...declarations,
    'export interface QmpCommands {',
    ...commands,
    '}',
    'export interface QmpEvents {',
    ...events,
    '}',
    '',
  ].join('\n');
}

function pascal(name: string): string {
  return name
    .split(/[^A-Za-z0-9]+/)
    .map((word) => {
      const lower = word === word.toUpperCase() ? word.toLowerCase() : word;
      return lower.charAt(0).toUpperCase() + lower.slice(1);
    })
    .join('');
}

function key(name: string): string {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) ? name : `'${name}'`;
}
