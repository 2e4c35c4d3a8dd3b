import type { Entry } from './entry.ts';

/** Pure: variables in values, as both formats have them: $NAME, ${NAME}, ${NAME:-default}, $$ for a dollar sign. */

const VARIABLE =
  /\$(?:(?<dollar>\$)|(?<bare>[A-Za-z_]\w*)|\{(?<name>[A-Za-z_]\w*)(?:(?<how>:?[-=?+])(?<word>(?:[^{}]|\{[^{}]*\})*))?\})/g;

/** The same value with its variables replaced; each is listed, for the node file has the value only. */
export function withVariables(entry: Entry, variables: ReadonlyMap<string, string>): unknown {
  const { value } = entry;
  if (typeof value === 'string') return replaced(value, entry, variables);
  if (Array.isArray(value)) return entry.items().map((item) => withVariables(item, variables));
  if (!entry.isMapping) return value;
  return Object.fromEntries(entry.entries().map((each) => [each.key, withVariables(each, variables)]));
}

function replaced(text: string, entry: Entry, variables: ReadonlyMap<string, string>): string {
  return text.replaceAll(VARIABLE, (whole, ...rest) => {
    const { dollar, bare, name = bare ?? '', how, word = '' } = rest.at(-1) as Record<string, string | undefined>;
    if (dollar !== undefined) return '$';
    const known = variables.get(name);
    const counts = known !== undefined && !(how?.startsWith(':') === true && known === '');
    if (how?.endsWith('+') === true) {
      entry.changed(`${whole} is written as '${counts ? word : ''}'`, `Change the value where it is to be another.`);
      return counts ? word : '';
    }
    if (counts) {
      entry.changed(`\${${name}} is written as the value that .env has`, SECRET_ADVICE);
      return known;
    }
    if (how !== undefined && /[-=]$/.test(how)) {
      // A default may itself name variables with defaults.
      const value = replaced(word, entry, variables);
      entry.changed(`\${${name}} is written as its default '${value}'`, 'Change the value where it is to be another.');
      return value;
    }
    entry.lost(`\${${name}} has no value: it is written as nothing`, `Write ${name}=VALUE into .env beside the file.`);
    return '';
  });
}

const SECRET_ADVICE = 'For what nobody is to see: `skerry secret set NAME`, and `{ secret: NAME }` in the node file.';

/** A file of NAME=VALUE lines, as compose reads `.env`: comments, `export`, quotes. */
export function parseVariables(text: string): Map<string, string> {
  const variables = new Map<string, string>();
  for (const line of text.split(/\r?\n/)) {
    const match = /^\s*(?:export\s+)?(?<name>[A-Za-z_]\w*)\s*=\s*(?<value>.*?)\s*$/.exec(line)?.groups;
    if (match?.['name'] === undefined) continue;
    const value = match['value'] ?? '';
    const quoted = /^(?<quote>['"])(?<inside>.*)\k<quote>(?:\s+#.*)?$/.exec(value)?.groups;
    variables.set(match['name'], quoted?.['inside'] ?? value.replace(/(?:^|\s+)#.*$/, ''));
  }
  return variables;
}
