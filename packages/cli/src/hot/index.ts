import { distrust, findEndpoint } from '@skerry/sdk/daemon-process';
import { NODE_COLUMNS, renderTable, VM_COLUMNS, type Column } from '../tables/index.ts';
import { ask } from './ask.ts';

/**
 * The commands that people type most, answered before the command line is loaded (bar: `skerry list` within twice
 * `node -e 0`). They are the same commands with the same tables; only what is typed exactly so takes this way.
 */
const HOT: Readonly<Record<string, { path: string; columns: ReadonlyArray<Column<never>> }>> = {
  list: { path: '/v1/vms', columns: VM_COLUMNS },
  'vm list': { path: '/v1/vms', columns: VM_COLUMNS },
  'node list': { path: '/v1/nodes', columns: NODE_COLUMNS },
};

const FORMATS: Readonly<Record<string, (rows: readonly never[], columns: ReadonlyArray<Column<never>>) => string>> = {
  table: (rows, columns) => renderTable(rows, columns),
  wide: (rows, columns) => renderTable(rows, columns, true),
  json: (rows) => `${JSON.stringify(rows, undefined, 2)}\n`,
};

/** True when it has done the whole command. */
export async function runHot(argv: readonly string[]): Promise<boolean> {
  const format = argv.at(-2) === '-o' ? argv.at(-1) : undefined;
  const words = (format === undefined ? argv : argv.slice(0, -2)).join(' ');
  const file = upFile(argv, format);
  const hot = Object.hasOwn(HOT, words) ? HOT[words] : undefined;
  const render = FORMATS[format ?? 'table'];
  if ((hot === undefined && file === undefined) || render === undefined) return false;
  const endpoint = findEndpoint();
  if (endpoint.socketPath === undefined || distrust(endpoint) !== undefined) return false;
  if (hot === undefined) {
    const { hotUp } = await import('./up.ts');
    const text = file === undefined ? undefined : await hotUp(endpoint.socketPath, file, format ?? 'table');
    if (text !== undefined) process.stdout.write(text);
    return text !== undefined;
  }
  const rows = await ask(endpoint.socketPath, hot.path);
  if (!Array.isArray(rows)) return false;
  process.stdout.write(render(rows as never[], hot.columns));
  return true;
}

/** `up FILE`, or `node up FILE`, and nothing else but the format. */
function upFile(argv: readonly string[], format: string | undefined): string | undefined {
  const words = format === undefined ? argv : argv.slice(0, -2);
  const [verb, file, ...more] = words[0] === 'node' ? words.slice(1) : words;
  return verb === 'up' && file !== undefined && !file.startsWith('-') && more.length === 0 ? file : undefined;
}
