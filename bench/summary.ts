/** What the times come to: medians, ratios, geometric means by group and set. */
import type { ItemTimes } from "./items.ts";
import { geometricMean, median } from "./statistics.ts";

export interface Median {
  /** In nanoseconds; NaN where nothing was measured. */
  readonly elapsed: number;
  readonly cpu: number;
}
export type Measure = keyof Median;

export interface Row {
  readonly set: string;
  readonly group: string;
  readonly name: string;
  readonly medians: Readonly<Record<string, Median>>;
  /** An item's first run in a process beside its later ones, elapsed; NaN where it runs once. */
  readonly warmup: Readonly<Record<string, number>>;
}

/** How many times as fast as the other one Vivarium is, over some items; and each beside native. */
export interface Mean {
  readonly set: string;
  /** Without one, of the whole set. */
  readonly group?: string;
  readonly items: number;
  /** Times as fast as each other contender. */
  readonly faster: Readonly<Record<string, Median>>;
  /** Times as slow as native. */
  readonly slower: Readonly<Record<string, Median>>;
  readonly warmup: Readonly<Record<string, number>>;
}

export interface Summary {
  readonly rows: readonly Row[];
  readonly means: readonly Mean[];
}

const NONE: Median = { elapsed: Number.NaN, cpu: Number.NaN };

/** a / b in both measures. */
export function ratio(a: Median | undefined, b: Median | undefined): Median {
  const [x, y] = [a ?? NONE, b ?? NONE];
  return { elapsed: x.elapsed / y.elapsed, cpu: x.cpu / y.cpu };
}

/** How many times as fast as `other` Vivarium does the item. */
export const faster = (row: Row, other: string): Median => ratio(row.medians[other], row.medians["vivarium"]);

export function summarise(items: readonly ItemTimes[]): Summary {
  const rows = items.map(({ set, group, name, times }): Row => {
    const medians = Object.entries(times).map(([who, { elapsed, cpu }]): [string, Median] => [
      who,
      { elapsed: median(elapsed), cpu: median(cpu) },
    ]);
    const warmup = Object.entries(times).map(([who, { first, later }]) => [who, median(first) / median(later)]);
    return { set, group, name, medians: Object.fromEntries(medians), warmup: Object.fromEntries(warmup) };
  });
  const means: Mean[] = [];
  for (const set of new Set(rows.map((row) => row.set))) {
    const ofSet = rows.filter((row) => row.set === set);
    const groups = [...new Set(ofSet.map(({ group }) => group))];
    if (groups.length > 1) {
      for (const group of groups) means.push({ ...meanOf(ofSet.filter((row) => row.group === group)), set, group });
    }
    means.push({ ...meanOf(ofSet), set });
  }
  return { rows, means };
}

function meanOf(rows: readonly Row[]): Omit<Mean, "set"> {
  const who = Object.keys(rows[0]!.medians);
  const mean = (of: (row: Row) => Median): Median => {
    // An item that failed under one contender has no ratio.
    const ratios = rows.map(of);
    const measured = (measure: Measure): number[] => ratios.map((r) => r[measure]).filter(Number.isFinite);
    return { elapsed: geometricMean(measured("elapsed")), cpu: geometricMean(measured("cpu")) };
  };
  const others = who.filter((name) => name !== "vivarium");
  const beside = who.includes("native") ? who.filter((name) => name !== "native") : [];
  return {
    items: rows.length,
    warmup: Object.fromEntries(
      who.map((name) => [name, geometricMean(rows.map((row) => row.warmup[name]!).filter(Number.isFinite))]),
    ),
    faster: Object.fromEntries(others.map((other) => [other, mean((row) => faster(row, other))])),
    slower: Object.fromEntries(
      beside.map((one) => [one, mean((row) => ratio(row.medians[one], row.medians["native"]))]),
    ),
  };
}
