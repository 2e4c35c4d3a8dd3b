import { padEnd, printable, widthOf } from './text.ts';

export interface Column<T> {
  readonly title: string;
  readonly of: (row: T) => string | number | undefined;
  /** Shown by `-o wide` only. */
  readonly wide?: boolean;
  /** Left out when no row has a value. */
  readonly optional?: boolean;
}

/** Lines without a frame, columns two spaces apart, made for people and for `awk`: an empty cell is `-`. */
export function renderTable<T>(rows: readonly T[], columns: ReadonlyArray<Column<T>>, wide = false): string {
  const cells = columns
    .filter((column) => wide || column.wide !== true)
    .map(({ title, of, optional }) => {
      const values = rows.map((row) => printable(String(of(row) ?? '')) || '-');
      return optional === true && values.every((value) => value === '-') ? [] : [title, ...values];
    })
    .filter((column) => column.length > 0);
  const widths = cells.map((column) => Math.max(...column.map(widthOf)));
  const lines = Array.from({ length: rows.length + 1 }, (_, line) =>
    cells
      .map((column, index) => padEnd(column[line] ?? '', index === cells.length - 1 ? 0 : (widths[index] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
  return `${lines.join('\n')}\n`;
}
