/** A report as plain text, laid out as `perf report --stdio` does. */

import { forTerminal } from "../../guest/escape.ts";
import { type Call, callsOf } from "./calls.ts";
import type { Report, ReportRow } from "./rows.ts";
import { cellsOf, columnsOf, lineOf, percentOf, shortened, type TableOptions } from "./table.ts";

export interface TextOptions extends TableOptions {
  /** Rows below this share, in percent, are left out. */
  readonly percentLimit: number;
  /** Call graphs, without branches below this share of all; absent: none. */
  readonly graphLimit?: number;
}

/** perf's own for `-g`. */
export const GRAPH_LIMIT = 0.5;

/** The lines of a report, each without its end. */
export function* reportLines(report: Report, options: TextOptions): Generator<string> {
  const { info } = report.names.profile;
  const columns = columnsOf(report, options);
  const least = (options.percentLimit / 100) * report.total;
  const rows = report.rows.filter((row) => row.total >= least);
  const { cells, widths } = cellsOf(columns, rows);
  yield "#";
  yield `# Total Lost Samples: ${info.lost}`;
  yield "#";
  yield `# Samples: ${short(report.samples)} of event '${forTerminal(info.event)}'`;
  yield `# Event count (approx.): ${Math.round(report.total)}`;
  yield "#";
  yield `# ${lineOf(
    columns,
    columns.map((column) => column.title),
    widths,
  )}`;
  yield `# ${widths.map((width) => ".".repeat(width)).join("  ")}`;
  yield "#";
  for (const [i, row] of rows.entries()) {
    yield `  ${lineOf(columns, cells[i]!, widths)}`;
    if (options.graphLimit !== undefined) yield* graphLines(report, row, options.graphLimit);
  }
}

/** As perf writes it: 999, 1K, 25M. */
function short(count: number): string {
  for (const [unit, size] of [
    ["G", 1e9],
    ["M", 1e6],
    ["K", 1e3],
  ] as const) {
    if (count >= size) return `${Math.floor(count / size)}${unit}`;
  }
  return String(count);
}

const MARGIN = " ".repeat(12);
const STEP = 11;
/** Chains are drawn no deeper: what lies further right than this nobody reads, and a guest could make it grow without end. */
const MOST_LEVELS = 64;

export const callTitle = (report: Report, frame: number): string =>
  shortened(forTerminal(report.names.callTitle(frame)));

/** Calls that follow each other without a branch or a sample's end between them. */
export function chainOf(first: Call): readonly [Call, ...Call[]] {
  const chain: [Call, ...Call[]] = [first];
  for (let call = first; call.calls.length === 1 && call.self === 0; ) {
    call = call.calls[0]!;
    chain.push(call);
  }
  return chain;
}

function* graphLines(report: Report, row: ReportRow, limit: number): Generator<string> {
  const least = (limit / 100) * report.total;
  // No branch of it can be large enough.
  if (row.total < least) return;
  let calls = callsOf(report, row).filter((call) => call.weight >= least);
  let margin = MARGIN;
  let written = false;
  const [only, second] = calls;
  if (only !== undefined && second === undefined && only.weight === row.total) {
    // All go the same way: its share is the row's.
    const chain = chainOf(only);
    const [first] = report.options.sort;
    // Where rows are symbols, the first call would only say so again.
    const shown = first === "sym" ? chain.slice(1) : chain;
    for (const [i, call] of shown.entries()) {
      if (i === 0) yield `${margin}|`;
      yield `${margin}${i === 0 ? "---" : "   "}${callTitle(report, call.frame)}`;
    }
    if (shown.length > 0) margin += "   ";
    written = shown.length > 0;
    calls = chain[chain.length - 1]!.calls.filter((call) => call.weight >= least);
  }
  for (const line of branches(report, calls, least, margin, "", 1)) {
    written = true;
    yield line;
  }
  if (written) yield "";
}

/** `bars`: what stands left of the branches, STEP characters for each level above. */
function* branches(
  report: Report,
  calls: readonly Call[],
  least: number,
  margin: string,
  bars: string,
  level: number,
): Generator<string> {
  for (const [i, first] of calls.entries()) {
    const last = i === calls.length - 1;
    yield `${margin}${bars}|`;
    const chain = chainOf(first);
    for (const [k, call] of chain.entries()) {
      const lead =
        k === 0 ? `${last ? " " : "|"}--${percentOf(first.weight, report.total)}--` : (last ? " " : "|").padEnd(STEP);
      yield `${margin}${bars}${lead}${callTitle(report, call.frame)}`;
    }
    const below = chain[chain.length - 1]!.calls.filter((call) => call.weight >= least);
    if (level < MOST_LEVELS)
      yield* branches(report, below, least, margin, bars + (last ? " " : "|").padEnd(STEP), level + 1);
  }
}
