/**
 * What `viv perf top` shows: rows of the newest samples above those of older ones, which fade as in perf top: by an eighth at each
 * refresh. Each refresh has a profile of what came since the last one; rows of two profiles are one where they read the same.
 */

import { forTerminal } from "../../guest/escape.ts";
import type { Profile } from "../profile.ts";
import type { SampleFilter } from "./filter.ts";
import { SORT_KEYS, type SortKey } from "./keys.ts";
import { report } from "./rows.ts";
import { heat, line, type ScreenLine, type ScreenSize } from "./screen.ts";

export const TOP_SORT: readonly SortKey[] = ["dso", "sym"];

export interface TopRow {
  /** Printable text of each sort key. */
  readonly cells: readonly string[];
  readonly weight: number;
}

export interface TopState {
  readonly rows: readonly TopRow[];
  /** Of all rows, faded as they are. */
  readonly total: number;
  /** Samples since the beginning. */
  readonly samples: number;
  readonly lost: number;
}

export interface TopOptions {
  readonly sort: readonly SortKey[];
  readonly filter: SampleFilter;
  /** Forgets at each refresh, rather than to let fade. */
  readonly zero: boolean;
}

export const EMPTY_TOP: TopState = { rows: [], total: 0, samples: 0, lost: 0 };

const FADE = 7 / 8;
/** A row whose share has faded to this is gone. */
const LEAST_SHARE = 1e-5;
/** A guest can run code at ever new addresses; nobody sees more rows than these. */
const MOST_ROWS = 10_000;

/** The state after `delta`, what was sampled since `state`. */
export function nextTop(state: TopState, delta: Profile, { sort, filter, zero }: TopOptions): TopState {
  const fresh = report(delta, { sort, filter, children: false, graph: false, order: "callee", relative: true });
  const weights = new Map<string, number>();
  if (!zero) for (const { cells, weight } of state.rows) weights.set(JSON.stringify(cells), weight * FADE);
  for (const row of fresh.rows) {
    const key = JSON.stringify(sort.map((name) => forTerminal(SORT_KEYS[name].text(fresh.names, row))));
    weights.set(key, (weights.get(key) ?? 0) + row.self);
  }
  const total = [...weights.values()].reduce((sum, weight) => sum + weight, 0);
  const rows = [...weights]
    .filter(([, weight]) => weight > total * LEAST_SHARE)
    .map(([key, weight]): TopRow => ({ cells: JSON.parse(key) as string[], weight }))
    .sort((a, b) => b.weight - a.weight || (a.cells.join("\0") < b.cells.join("\0") ? -1 : 1))
    .slice(0, MOST_ROWS);
  return {
    rows,
    total: rows.reduce((sum, { weight }) => sum + weight, 0),
    samples: state.samples + fresh.samples,
    lost: state.lost + delta.info.lost,
  };
}

/** The screen of a state. `note`: what the source has to say, as the guests' names and the rate. */
export function topScreen(
  state: TopState,
  sort: readonly SortKey[],
  note: string,
  size: ScreenSize,
): readonly ScreenLine[] {
  const shown = state.rows.slice(0, Math.max(0, size.rows - 3));
  const titles = sort.map((name) => SORT_KEYS[name].title);
  const widths = titles.map((title, i) =>
    shown.reduce((most, { cells }) => Math.max(most, Math.min(cells[i]!.length, size.columns >> 1)), title.length),
  );
  const text = (cells: readonly string[]): string => cells.map((cell, i) => cell.padEnd(widths[i]!)).join("  ");
  const lost = state.lost > 0 ? `, lost: ${state.lost}` : "";
  return [
    line(`Samples: ${state.samples}${lost}  ${forTerminal(note)}`, "title"),
    line(` Overhead  ${text(titles)}`, "title"),
    ...shown.map(({ cells, weight }): ScreenLine => {
      const percent = state.total > 0 ? (100 * weight) / state.total : 0;
      return {
        spans: [{ text: `${percent.toFixed(2)}%`.padStart(9), style: heat(percent) }, { text: `  ${text(cells)}` }],
      };
    }),
  ];
}
