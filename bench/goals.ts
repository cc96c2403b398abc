/** What the project asks of itself, and whether a run reached it. */
import type { Results } from "./report.ts";
import { median } from "./statistics.ts";
import { faster, type Summary } from "./summary.ts";
import { meanCost } from "./watched.ts";

export interface Verdict {
  readonly what: string;
  readonly value: number;
  readonly wanted: string;
  readonly reached: boolean;
}

/** Times as fast as QEMU's TCG, by geometric mean, in elapsed time. */
const MEANS = [
  { what: "kernels", set: "kernels", least: 2 },
  { what: "floating point", set: "kernels", group: "floating-point", least: 4 },
  { what: "programs", set: "programs", least: 1.3 },
  { what: "system", set: "system", least: 1 },
] as const;
/** No kernel and no program may be slower than this. */
const LEAST_ITEM = 0.8;
const ITEM_SETS = ["kernels", "programs"];
const V86_LEAST = 1.5;
const BOOT_WALL_MOST = 1.2;
const BOOT_CPU_MOST = 1.5;
/** The page in Chromium beside Node, by geometric mean, in elapsed time. */
const PAGE_MOST = 1.3;
const MEMORY_MOST_MIB = 300;
/** Sampled 999 times a second with stacks. */
const WATCHED_MOST = 1.01;

export function verdicts({ summary, bare, browser, boot, memory, watched }: Results): Verdict[] {
  const all: Verdict[] = [];
  const say = (what: string, value: number, wanted: string, reached: boolean): void => {
    // What was not measured has no verdict.
    if (Number.isFinite(value)) all.push({ what, value, wanted, reached });
  };
  const least = (what: string, value: number, bound: number): void =>
    say(`${what}, times as fast`, value, `at least ${bound}`, value >= bound);
  const most = (what: string, value: number, bound: number): void =>
    say(what, value, `at most ${bound}`, value <= bound);

  for (const { what, set, least: bound, ...rest } of MEANS) {
    const group = "group" in rest ? rest.group : undefined;
    const mean = summary?.means.find((m) => m.set === set && m.group === group);
    least(`${what} beside TCG`, mean?.faster["qemu"]?.elapsed ?? Number.NaN, bound);
  }
  const slowest = summary && slowestItem(summary);
  if (slowest) least(`slowest item beside TCG (${slowest.name})`, slowest.value, LEAST_ITEM);
  const v86 = bare?.means.find((m) => m.group === undefined);
  least("32-bit kernels beside v86", v86?.faster["v86"]?.elapsed ?? Number.NaN, V86_LEAST);
  const page = browser?.means.find((m) => m.group === undefined);
  most("kernels in Chromium beside Node", page?.faster["page"]?.elapsed ?? Number.NaN, PAGE_MOST);
  if (boot) {
    most("boot beside TCG, wall time", median(boot.vivarium.wallMs) / median(boot.qemu.wallMs), BOOT_WALL_MOST);
    most("boot beside TCG, CPU time", median(boot.vivarium.cpuMs) / median(boot.qemu.cpuMs), BOOT_CPU_MOST);
  }
  if (memory?.vivarium) most("memory over the guest's, MiB", memory.vivarium.mostOver, MEMORY_MOST_MIB);
  if (watched) most("work while it is sampled beside work alone", meanCost(watched), WATCHED_MOST);
  return all;
}

function slowestItem({ rows }: Summary): { readonly name: string; readonly value: number } | undefined {
  return rows
    .filter(({ set }) => ITEM_SETS.includes(set))
    .map((row) => ({ name: row.name, value: faster(row, "qemu").elapsed }))
    .filter(({ value }) => Number.isFinite(value))
    .sort((a, b) => a.value - b.value)[0];
}
