import type { SkerryError } from '@skerry/api/base';
import type { OutputFormat } from '../grammar/index.ts';
import { type Column, printable, renderTable } from '../tables/index.ts';

/** Results to stdout, in the format that `-o` names; notes and errors to stderr. */
export class Output {
  readonly format: OutputFormat;

  constructor(format: OutputFormat) {
    this.format = format;
  }

  /** True when people read it, not programs. */
  get isForPeople(): boolean {
    return this.format === 'table' || this.format === 'wide';
  }

  /** A list, as a table or as data. */
  async rows<T>(rows: readonly T[], columns: ReadonlyArray<Column<T>>): Promise<void> {
    if (this.isForPeople) write(renderTable(rows, columns, this.format === 'wide'));
    else await this.data(rows);
  }

  /** A result, as lines that are made when people read it, or as data. */
  async result(data: unknown, lines: () => readonly string[]): Promise<void> {
    if (this.isForPeople) for (const line of lines()) this.line(line);
    else await this.data(data);
  }

  line(text: string): void {
    write(`${text}\n`);
  }

  note(text: string): void {
    process.stderr.write(`${text}\n`);
  }

  async data(value: unknown): Promise<void> {
    if (this.format === 'yaml') {
      const { stringify } = await import('yaml');
      write(stringify(value));
    } else {
      write(`${JSON.stringify(value, undefined, 2)}\n`);
    }
  }

  error(error: SkerryError): void {
    if (!this.isForPeople) {
      process.stderr.write(`${JSON.stringify(error.toBody())}\n`);
      return;
    }
    process.stderr.write(`${paint('error:', '31')} ${printableLines(error.message)}\n`);
    for (const problem of problemsOf(error)) process.stderr.write(`  ${printableLines(problem)}\n`);
    if (error.remedy !== undefined)
      process.stderr.write(`  ${printableLines(error.remedy).replaceAll('\n', '\n  ')}\n`);
  }
}

/** Colour on a terminal only, and not where NO_COLOR is set (no-color.org). */
export function paint(text: string, code: string, stream: NodeJS.WriteStream = process.stderr): string {
  if (!stream.isTTY || process.env['NO_COLOR']) return text;
  return `\u001b[${code}m${text}\u001b[0m`;
}

function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n');
}

/** All that is wrong with a file; the first is the message itself. */
function problemsOf(error: SkerryError): string[] {
  const problems = error.details?.['problems'];
  if (!Array.isArray(problems)) return [];
  return problems
    .slice(1)
    .map((problem: unknown) =>
      typeof problem === 'object' && problem !== null && 'text' in problem ? String(problem.text) : String(problem),
    );
}

function write(text: string): void {
  process.stdout.write(text);
}
