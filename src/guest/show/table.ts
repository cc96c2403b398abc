/** Rows as aligned text for a terminal. Everything a guest said is made harmless on the way. */
import { forTerminal } from "../escape.ts";

export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => string | number;
  readonly right?: boolean;
}

/** Columns grow to this width: one long name must not widen thousands of lines. */
const WIDEST = 40;

/** A line of titles and one for each row, each with its newline. The last column is not padded. */
export function showTable<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): string {
  const lines = [
    columns.map((column) => column.title),
    ...rows.map((row) => columns.map((column) => forTerminal(String(column.value(row))))),
  ];
  const widths = columns.map((_, i) =>
    lines.reduce((width, line) => Math.max(width, Math.min(WIDEST, line[i]!.length)), 0),
  );
  const pad = (text: string, i: number): string => {
    if (columns[i]!.right) return text.padStart(widths[i]!);
    return i === columns.length - 1 ? text : text.padEnd(widths[i]!);
  };
  return lines.map((line) => `${line.map(pad).join(" ").trimEnd()}\n`).join("");
}

/** What a listing lacks, a line each; nothing where it is whole. */
export const showGaps = (gaps: readonly string[]): string => gaps.map((gap) => `(${forTerminal(gap)})\n`).join("");
