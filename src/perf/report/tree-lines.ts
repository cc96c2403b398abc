/** The lines of the interactive report: rows, and below those that are open their call graphs, as far as their branches are open. */
import { type Call, callsOf } from "./calls.ts";
import type { Report, ReportRow } from "./rows.ts";
import { heat, type ScreenLine } from "./screen.ts";
import { cellsOf, columnsOf, lineOf, type TableColumn } from "./table.ts";
import { callTitle, chainOf } from "./text.ts";

export type TreeLine =
  | { readonly kind: "row"; readonly row: ReportRow }
  /** A call; `first` of the calls that follow each other without a branch: it has their share, and opens what is below the last. */
  | {
      readonly kind: "call";
      readonly row: ReportRow;
      readonly call: Call;
      readonly level: number;
      readonly first?: Call;
    };

/** Lines below one row: a guest's stacks may branch without end. */
const MOST_CALL_LINES = 20_000;
/** Levels to the right, each of them INDENT wide. */
const MOST_LEVELS = 64;
const INDENT = 3;

/** What is open: rows by what they are called, so that they stay open in another order; calls themselves. */
export interface Opened {
  readonly rows: ReadonlySet<number>;
  readonly calls: ReadonlySet<Call>;
  /** Everything below these rows. */
  readonly wholly: ReadonlySet<number>;
}

export class RowTree {
  readonly report: Report;
  /** Rows that the filter lets through, in order. */
  readonly rows: readonly ReportRow[];
  readonly #columns: readonly TableColumn[];
  readonly #cells: readonly (readonly string[])[];
  readonly #widths: readonly number[];
  readonly #index: ReadonlyMap<number, number>;
  readonly #calls = new Map<number, readonly Call[]>();

  /** `wanted`: of the texts of a row's sort keys, as they are shown. */
  constructor(report: Report, wanted: (cells: readonly string[]) => boolean) {
    this.report = report;
    this.#columns = columnsOf(report);
    const all = cellsOf(this.#columns, report.rows);
    const shares = this.#columns.length - report.options.sort.length;
    const kept = all.cells.map((cells) => wanted(cells.slice(shares)));
    this.rows = report.rows.filter((_, i) => kept[i]);
    this.#cells = all.cells.filter((_, i) => kept[i]);
    this.#widths = all.widths;
    this.#index = new Map(this.rows.map((row, i) => [row.id, i]));
  }

  get title(): string {
    return `  ${lineOf(
      this.#columns,
      this.#columns.map((column) => column.title),
      this.#widths,
    )}`;
  }

  /** A row's calls; the same objects each time. */
  calls(row: ReportRow): readonly Call[] {
    let calls = this.#calls.get(row.id);
    if (calls === undefined) this.#calls.set(row.id, (calls = callsOf(this.report, row)));
    return calls;
  }

  lines(opened: Opened): readonly TreeLine[] {
    const lines: TreeLine[] = [];
    for (const row of this.rows) {
      lines.push({ kind: "row", row });
      if (opened.rows.has(row.id)) this.#below(row, opened, lines);
    }
    return lines;
  }

  #below(row: ReportRow, opened: Opened, lines: TreeLine[]): void {
    const all = opened.wholly.has(row.id);
    const end = lines.length + MOST_CALL_LINES;
    // Last in, first out: the heaviest is pushed last.
    const todo = this.calls(row)
      .map((call) => ({ call, level: 1 }))
      .reverse();
    for (let next = todo.pop(); next !== undefined && lines.length < end; next = todo.pop()) {
      const { call: first, level } = next;
      const chain = chainOf(first);
      for (const call of chain) {
        lines.push({ kind: "call", row, call, level, ...(call === first ? { first } : {}) });
      }
      const last = chain[chain.length - 1]!;
      if (all || opened.calls.has(first)) {
        for (const call of [...last.calls].reverse()) todo.push({ call, level: Math.min(level + 1, MOST_LEVELS) });
      }
    }
  }

  /** The sign of a line: `+` where something is closed below, `-` where it is open. */
  #sign(line: TreeLine, opened: Opened): string {
    if (line.kind === "row") {
      if (!this.report.options.graph) return " ";
      return opened.rows.has(line.row.id) ? "-" : "+";
    }
    if (line.first === undefined) return " ";
    const chain = chainOf(line.first);
    if (chain[chain.length - 1]!.calls.length === 0) return " ";
    return opened.wholly.has(line.row.id) || opened.calls.has(line.first) ? "-" : "+";
  }

  draw(line: TreeLine, opened: Opened): ScreenLine {
    const sign = this.#sign(line, opened);
    if (line.kind === "row") {
      const percent = (100 * line.row.total) / (this.report.total || 1);
      const cells = this.#cells[this.#index.get(line.row.id)!]!;
      const text = lineOf(this.#columns, cells, this.#widths);
      const share = this.#widths[0]!;
      return {
        spans: [
          { text: `${sign} ` },
          { text: text.slice(0, share), style: heat(percent) },
          { text: text.slice(share) },
        ],
      };
    }
    const { first, level, call } = line;
    const indent = " ".repeat(4 + INDENT * level);
    const name = callTitle(this.report, call.frame);
    if (first === undefined) return { spans: [{ text: `${indent}${" ".repeat(10)}${name}` }] };
    const percent = (100 * call.weight) / (this.report.total || 1);
    return {
      spans: [
        { text: `${indent}${sign} ` },
        { text: `${percent.toFixed(2)}%`.padStart(7), style: heat(percent) },
        { text: ` ${name}` },
      ],
    };
  }
}
