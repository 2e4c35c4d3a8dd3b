import type { Path, YamlSource } from './source.ts';

/** What zod tells of a value that does not fit, as this reads it. */
export interface Issue {
  readonly code?: string | undefined;
  readonly path: readonly PropertyKey[];
  readonly message: string;
  readonly keys?: readonly string[];
  /** Of `invalid_union`: the issues of each alternative. */
  readonly errors?: ReadonlyArray<readonly Issue[]>;
  /** Of `invalid_key`. */
  readonly issues?: readonly Issue[];
  readonly expected?: string;
}

type JsonSchema = Readonly<Record<string, unknown>>;

/**
 * Notes each issue at its place in the file.
 * @param schema JSON Schema of what was expected, to name the keys that are known
 * @param fileNames what a key of the normal form is called in the file
 */
export function addIssues(
  source: YamlSource,
  issues: readonly Issue[],
  schema: JsonSchema,
  fileNames: Readonly<Record<string, string>> = {},
): void {
  for (const issue of issues) addIssue(source, issue, schema, fileNames, []);
}

function addIssue(
  source: YamlSource,
  issue: Issue,
  schema: JsonSchema,
  names: Readonly<Record<string, string>>,
  base: Path,
): void {
  const path = [
    ...base,
    ...issue.path.map((part) => (typeof part === 'number' ? part : (names[String(part)] ?? String(part)))),
  ];
  const where = path.length === 0 ? '' : `${path.join('.')}: `;
  if (issue.code === 'unrecognized_keys') {
    const known = keysAt(schema, path);
    for (const key of issue.keys ?? []) {
      source.add(
        [...path, key],
        `${where}there is no key '${key}' here`,
        known.length === 0 ? 'Take it out.' : `Use one of ${known.join(', ')}.`,
        'key',
      );
    }
    return;
  }
  if (issue.code === 'invalid_union') {
    const closest = closestOf(issue.errors ?? []);
    if (closest !== undefined) {
      for (const each of closest) addIssue(source, each, schema, names, path);
      return;
    }
  }
  if (issue.code === 'invalid_key') {
    for (const { message } of issue.issues ?? []) {
      const { what, remedy } = split(message);
      source.add(path, `${where}${what}`, remedy, 'key');
    }
    return;
  }
  const { what, remedy } = split(issue.message);
  source.add(path, `${where}${what}`, remedy);
}

/**
 * The alternative that was meant: one that knows the keys is closer than one that does not, and one with an error deep
 * inside than one that wanted something else altogether.
 */
function closestOf(alternatives: ReadonlyArray<readonly Issue[]>): readonly Issue[] | undefined {
  const cost = (issues: readonly Issue[]): number =>
    issues.reduce(
      (sum, { code, path }) =>
        sum + (code === 'invalid_type' && path.length === 0 ? 100 : code === 'unrecognized_keys' ? 10 : 1),
      0,
    );
  const ranked = alternatives.filter((issues) => issues.length > 0).toSorted((a, b) => cost(a) - cost(b));
  const best = ranked[0];
  // All wanted another type: the union's own message is as good as any.
  return best === undefined || (cost(best) >= 100 && ranked.length > 1 && best.every(({ path }) => path.length === 0))
    ? undefined
    : best;
}

/** The contract's messages say what is wrong, then after a colon what to write instead. */
function split(message: string): { what: string; remedy: string } {
  const advice = /^(?<what>.*?)(?:^|: )(?<advice>(?:write|use|give|name) .*)$/s.exec(message)?.groups;
  if (advice === undefined) return { what: ownCase(message), remedy: 'Correct it and run the command again.' };
  const told = advice['advice'] ?? '';
  return { what: advice['what'] || told, remedy: `${told.charAt(0).toUpperCase()}${told.slice(1)}.` };
}

/** Zod begins its own messages like sentences. */
function ownCase(message: string): string {
  return /^(?:Invalid|Too|Expected) /.test(message) ? message.charAt(0).toLowerCase() + message.slice(1) : message;
}

/** The keys that are known at a place. */
export function keysAt(schema: JsonSchema, path: Path): string[] {
  let at: JsonSchema[] = [schema];
  for (const part of path) at = at.flatMap((each) => alternatives(each)).flatMap((each) => childOf(each, part));
  const keys = at
    .flatMap((each) => alternatives(each))
    .flatMap(({ properties }) => Object.keys((properties as object | undefined) ?? {}));
  return [...new Set(keys)];
}

function alternatives(schema: JsonSchema): JsonSchema[] {
  const any = (schema['anyOf'] ?? schema['oneOf'] ?? schema['allOf']) as JsonSchema[] | undefined;
  return any === undefined ? [schema] : any.flatMap(alternatives);
}

function childOf(schema: JsonSchema, part: string | number): JsonSchema[] {
  const properties = schema['properties'] as Record<string, JsonSchema> | undefined;
  const child = typeof part === 'number' ? schema['items'] : (properties?.[part] ?? schema['additionalProperties']);
  return typeof child === 'object' && child !== null ? [child as JsonSchema] : [];
}
