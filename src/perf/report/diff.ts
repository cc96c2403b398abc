/**
 * Two profiles side by side, as `perf diff` has it: each row's share before and the change of it. Rows are matched by what they are
 * called, so that a function is the same in another kernel, at another address, in another run.
 */

import { forTerminal } from "../../guest/escape.ts";
import type { Profile } from "../profile.ts";
import type { SampleFilter } from "./filter.ts";
import { SORT_KEYS, type SortKey } from "./keys.ts";
import { type Report, report } from "./rows.ts";

export const DIFF_SORT: readonly SortKey[] = ["dso", "sym"];

export interface DiffRow {
  /** Text of each sort key, raw. */
  readonly cells: readonly string[];
  /** Shares in percent; undefined where the profile has no such row. */
  readonly baseline: number | undefined;
  readonly now: number | undefined;
  /** Percentage points. */
  readonly delta: number;
}

export interface DiffOptions {
  readonly sort: readonly SortKey[];
  readonly filter: SampleFilter;
}

/** The rows of both, the largest change first. */
export function diffProfiles(baseline: Profile, now: Profile, { sort, filter }: DiffOptions): readonly DiffRow[] {
  const options = { sort, filter, children: false, graph: false, order: "callee", relative: false } as const;
  const [before, after] = [shares(report(baseline, options)), shares(report(now, options))];
  const keys = new Set([...before.keys(), ...after.keys()]);
  return [...keys]
    .map((key): DiffRow => {
      const [old, fresh] = [before.get(key), after.get(key)];
      return {
        cells: JSON.parse(key) as string[],
        baseline: old,
        now: fresh,
        delta: (fresh ?? 0) - (old ?? 0),
      };
    })
    .sort(
      (a, b) =>
        Math.abs(b.delta) - Math.abs(a.delta) ||
        (b.baseline ?? 0) - (a.baseline ?? 0) ||
        (a.cells.join("\0") < b.cells.join("\0") ? -1 : 1),
    );
}

/** A guest kernel is named after the process that ran it: another in each recording. */
const RUNNER = /^\[guest\.kernel\.kallsyms\.\d+\]$/;
const AFTER_RUNNER = "[guest.kernel.kallsyms]";

function shares({ rows, names, options, total }: Report): Map<string, number> {
  const found = new Map<string, number>();
  for (const row of rows) {
    const cells = options.sort.map((name) => SORT_KEYS[name].text(names, row));
    const key = JSON.stringify(cells.map((cell) => (RUNNER.test(cell) ? AFTER_RUNNER : cell)));
    found.set(key, (found.get(key) ?? 0) + (total > 0 ? (100 * row.self) / total : 0));
  }
  return found;
}

/** Below this change, in percentage points, perf shows none. */
const LEAST_DELTA = 0.01;

export function* diffLines(
  rows: readonly DiffRow[],
  event: string,
  sort: readonly SortKey[],
  percentLimit: number,
): Generator<string> {
  const shown = rows.filter((row) => Math.max(row.baseline ?? 0, row.now ?? 0) >= percentLimit);
  const titles = ["Baseline", "Delta Abs", ...sort.map((key) => SORT_KEYS[key].title)];
  const lines = shown.map((row) => [
    row.baseline === undefined ? "" : `${row.baseline.toFixed(2)}%`,
    Math.abs(row.delta) < LEAST_DELTA ? "" : `${row.delta > 0 ? "+" : ""}${row.delta.toFixed(2)}%`,
    ...row.cells.map(forTerminal),
  ]);
  const widths = titles.map((title, i) => lines.reduce((most, line) => Math.max(most, line[i]!.length), title.length));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => (i < 2 ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
      .join("  ")
      .trimEnd();
  yield `# Event '${forTerminal(event)}'`;
  yield "#";
  yield `# ${line(titles)}`;
  yield `# ${widths.map((width) => ".".repeat(width)).join("  ")}`;
  yield "#";
  for (const cells of lines) yield `  ${line(cells)}`;
}
