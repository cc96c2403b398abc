/** What a report shows of a row: columns with a title and the text of each cell, fit for a terminal. */

import { forTerminal } from "../../guest/escape.ts";
import { SORT_KEYS } from "./keys.ts";
import type { Report, ReportRow } from "./rows.ts";

export interface TableColumn {
  readonly title: string;
  readonly align: "left" | "right";
  cell(row: ReportRow): string;
}

export interface TableOptions {
  /** A column with the number of samples. */
  readonly samples?: boolean;
}

export const percentOf = (part: number, whole: number): string =>
  `${(whole > 0 ? (100 * part) / whole : 0).toFixed(2)}%`;

/** Width of perf's columns of shares. */
const SHARE_WIDTH = 8;
/** Longest cell: a guest may name a task or symbol as long as it likes. */
const MOST_CELL = 256;

const share = (title: string, report: Report, weight: (row: ReportRow) => number): TableColumn => ({
  title: title.padStart(SHARE_WIDTH),
  align: "right",
  cell: (row) => percentOf(weight(row), report.total),
});

export function columnsOf(report: Report, { samples = false }: TableOptions = {}): readonly TableColumn[] {
  const { options, names } = report;
  const shares = options.children
    ? [share("Children", report, (row) => row.total), share("Self", report, (row) => row.self)]
    : [share("Overhead", report, (row) => row.self)];
  const counts: TableColumn[] = samples
    ? [{ title: "     Samples", align: "right", cell: (row) => String(row.samples) }]
    : [];
  const keys = options.sort.map((name): TableColumn => {
    const key = SORT_KEYS[name];
    return {
      title: key.title,
      align: "align" in key ? key.align : "left",
      cell: (row) => shortened(forTerminal(key.text(names, row))),
    };
  });
  return [...shares, ...counts, ...keys];
}

export const shortened = (text: string): string =>
  text.length <= MOST_CELL ? text : `${text.slice(0, MOST_CELL - 1)}…`;

/** Cells of each row, and the width each column needs for all of them. */
export function cellsOf(columns: readonly TableColumn[], rows: readonly ReportRow[]) {
  const cells = rows.map((row) => columns.map((column) => column.cell(row)));
  const widths = columns.map((column, i) =>
    cells.reduce((most, row) => Math.max(most, row[i]!.length), column.title.length),
  );
  return { cells, widths };
}

/** One line: cells as wide as their columns, nothing behind the last. */
export const lineOf = (columns: readonly TableColumn[], cells: readonly string[], widths: readonly number[]): string =>
  cells
    .map((cell, i) => (columns[i]!.align === "right" ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
    .join("  ")
    .trimEnd();
