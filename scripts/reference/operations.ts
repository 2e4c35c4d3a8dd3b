import { API_PREFIX, ERROR_KINDS, type Operation, type OperationKind } from '@skerry/api';
import { z } from 'zod';
import { table } from './table.ts';

/** docs/reference/api.md: every call, from the contract. */

const KINDS: Readonly<Record<OperationKind, string>> = {
  json: 'answers with JSON',
  task: 'answers 202 with a Task; `task.watch` follows it, and its `result` is what is said here',
  ndjson: 'answers with a JSON value a line, until it ends or the client leaves',
  bytes: 'carries bytes as they are',
  websocket: 'becomes a WebSocket',
};

export function operationReference(operations: Readonly<Record<string, Operation>>): string {
  return [
    '# API',
    `Written by \`npm run reference\` from the contract (\`packages/api\`). HTTP/1.1 on the daemon's unix socket; all paths
begin with \`${API_PREFIX}\`. \`{vm}\` and the like are a name, NODE/NAME (percent-encoded) or an id. Errors are RFC 9457 problem
details with \`code\`, \`message\`, \`remedy\` and \`details\`: [errors.md](errors.md). In the SDK: \`skerry.call('vm.get', {params: {vm: 'web'}})\`,
\`run\` for tasks, \`stream\` for lines.`,
    table(['kind', 'what it does'], Object.entries(KINDS)),
    ...Object.entries(operations).flatMap(([id, operation]) => section(id, operation)),
    '',
  ].join('\n\n');
}

function section(id: string, { method, path, kind, summary, query, body, result }: Operation): string[] {
  return [
    `## ${id}`,
    `${summary}.`,
    ['```', `${method} ${API_PREFIX}${path}`, '```'].join('\n'),
    ...(query === undefined ? [] : parameters('query', query)),
    ...(body === undefined ? [] : parameters('body', body)),
    `Kind: ${kind}${kind === 'bytes' || kind === 'websocket' ? '' : `; result: ${typeOf(schemaOf(result))}`}`,
  ];
}

interface Schema {
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly default?: unknown;
  readonly format?: string;
  readonly minimum?: number;
  readonly maximum?: number;
}

/** As it is sent. What zod can't say in JSON Schema (`query` flags) is a text there. */
const schemaOf = (type: z.ZodType): Schema => z.toJSONSchema(type, { io: 'input', unrepresentable: 'any' }) as Schema;

function parameters(where: string, type: z.ZodType): string[] {
  const { properties = {}, required = [] } = schemaOf(type);
  const rows = Object.entries(properties).map(([name, schema]) => [
    `\`${name}\`${required.includes(name) ? '' : '?'}`,
    typeOf(schema) + (schema.default === undefined ? '' : `; default \`${JSON.stringify(schema.default)}\``),
  ]);
  return rows.length === 0 ? [] : [table([where, 'type'], rows)];
}

/** Short: an object by the names of what is in it. */
function typeOf(schema: Schema): string {
  const { type, properties, items, anyOf, oneOf, minimum, maximum } = schema;
  const any = anyOf ?? oneOf;
  if (any !== undefined) return [...new Set(any.map(typeOf))].join(' or ');
  if (schema.const !== undefined) return `\`${JSON.stringify(schema.const)}\``;
  if (schema.enum !== undefined) return schema.enum.map((each) => `\`${JSON.stringify(each)}\``).join(', ');
  if (type === 'array') return `list of ${items === undefined ? 'anything' : typeOf(items)}`;
  if (type === 'object') {
    const names = Object.keys(properties ?? {});
    return names.length === 0 ? 'object' : `{ ${names.map((name) => `\`${name}\``).join(', ')} }`;
  }
  // Of numbers without a limit zod writes the limits of what JavaScript counts exactly.
  const limits = [minimum, maximum].map((each) => (each !== undefined && Math.abs(each) < 2 ** 52 ? String(each) : ''));
  const range = limits.some((each) => each !== '') ? `, ${limits.join('..')}` : '';
  return `${Array.isArray(type) ? type.join(' or ') : typeof type === 'string' ? type : 'anything'}${range}`;
}

/** docs/reference/errors.md: what each code means to HTTP and to a shell. */
export function errorReference(): string {
  return [
    '# Errors',
    `Written by \`npm run reference\` from the contract. Every error has a \`code\`, a message for people and, where something
can be done about it, a \`remedy\`: what to type or change next. \`run\` and \`exec\` return the exit code of the command in the guest.`,
    table(
      ['code', 'what it means', 'HTTP status', 'exit code'],
      Object.entries(ERROR_KINDS).map(([code, { title, httpStatus, exitCode }]) => [
        `\`${code}\``,
        title,
        String(httpStatus),
        String(exitCode),
      ]),
    ),
    '',
  ].join('\n\n');
}
