/** The results as tables, in Markdown so that they can go into docs/performance.md as they are. */
import type { BootTimes } from "./boot.ts";
import { GUEST_MEMORY_MIB, type MachineContender, TITLES } from "./contenders.ts";
import type { Verdict } from "./goals.ts";
import type { Host } from "./host.ts";
import type { InstructionCounts } from "./instructions.ts";
import type { ItemTimes } from "./items.ts";
import type { MemoryUse } from "./memory.ts";
import { least, median } from "./statistics.ts";
import { faster, type Mean, type Measure, type Row, ratio, type Summary } from "./summary.ts";
import { meanCost, quartiles, type WatchedCost } from "./watched.ts";

export interface Results {
  readonly host: Host;
  readonly quick: boolean;
  /** Every time measured, in nanoseconds. */
  readonly items: readonly ItemTimes[];
  readonly summary?: Summary;
  /** The 32-bit kernels. */
  readonly bare?: Summary;
  /** Kernels in Node and in the page. */
  readonly browser?: Summary;
  readonly instructions?: InstructionCounts;
  readonly boot?: Readonly<Record<MachineContender, BootTimes>>;
  readonly memory?: Readonly<Partial<Record<MachineContender, MemoryUse>>>;
  /** The cost of being sampled. */
  readonly watched?: readonly WatchedCost[];
  readonly warnings: readonly string[];
  readonly failures: readonly string[];
}

const NONE = "–";
const fixed = (value: number | undefined, digits: number): string =>
  value !== undefined && Number.isFinite(value) ? value.toFixed(digits) : NONE;
const ms = (ns: number | undefined): string => fixed(ns === undefined ? undefined : ns / 1e6, 1);
const times = (value: number | undefined): string => fixed(value, value !== undefined && value < 9.95 ? 2 : 1);

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string => {
  const widths = head.map((cell, i) => Math.max(cell.length, 3, ...rows.map((row) => row[i]!.length)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join(" | ")} |`;
  const rule = widths.map((width, i) => (i === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`));
  return [line(head), line(rule), ...rows.map(line)].join("\n");
};

interface Column {
  readonly title: string;
  readonly row: (row: Row) => string;
  readonly mean?: (mean: Mean) => string;
}

/** One row for each item; after each group its geometric mean, at the end that of the whole. */
function itemTable(
  set: string,
  { rows, means }: Summary,
  { heading = set, counts }: { readonly heading?: string; readonly counts?: InstructionCounts | undefined } = {},
): string {
  const ofSet = rows.filter((row) => row.set === set);
  const who = Object.keys(ofSet[0]!.medians);
  const machines = who.filter((name) => name !== "native");
  const others = machines.filter((name) => name !== "vivarium");
  const title = (name: string): string => TITLES[name as keyof typeof TITLES];
  const columns: Column[] = who.map((name) => ({
    title: `${title(name)}, ms`,
    row: ({ medians }) => ms(medians[name]!.elapsed),
  }));
  if (who.includes("native")) {
    for (const name of machines) {
      columns.push({
        title: `${title(name)} / native`,
        row: ({ medians }) => times(ratio(medians[name], medians["native"]).elapsed),
        mean: ({ slower }) => times(slower[name]!.elapsed),
      });
    }
  }
  if (who.includes("vivarium")) {
    const against = (name: string, measure: Measure, heading: string): Column => ({
      title: heading,
      row: (row) => times(faster(row, name)[measure]),
      mean: (mean) => times(mean.faster[name]![measure]),
    });
    for (const name of others) {
      columns.push(against(name, "elapsed", `${title(name)} / Vivarium`), against(name, "cpu", "in CPU time"));
    }
  }
  for (const name of machines) {
    if (ofSet.every(({ warmup }) => !Number.isFinite(warmup[name]))) continue;
    columns.push({
      title: `${title(name)} first / later`,
      row: ({ warmup }) => times(warmup[name]),
      mean: ({ warmup }) => times(warmup[name]),
    });
  }
  if (counts) columns.push({ title: "MIPS", row: (row) => mipsOf(row, counts) });
  const lines: string[][] = [];
  const meanLine = (name: string, mean: Mean): void =>
    void lines.push([name, ...columns.map((column) => column.mean?.(mean) ?? "")]);
  for (const group of new Set(ofSet.map((row) => row.group))) {
    for (const row of ofSet.filter((r) => r.group === group)) {
      lines.push([row.name, ...columns.map((column) => column.row(row))]);
    }
    const mean = means.find((m) => m.set === set && m.group === group);
    if (mean && mean.items > 1) meanLine(`_${group}_`, mean);
  }
  meanLine("**geometric mean**", means.find((m) => m.set === set && m.group === undefined)!);
  return table([heading, ...columns.map((column) => column.title)], lines);
}

function mipsOf({ name, medians }: Row, counts: InstructionCounts): string {
  const retired = counts.kernels[name];
  const time = medians["vivarium"]?.elapsed;
  return retired === undefined || time === undefined ? NONE : fixed((retired / time) * 1e3, 0);
}

function bootTable({ vivarium, qemu }: Readonly<Record<MachineContender, BootTimes>>): string {
  const row = (name: string, key: keyof BootTimes): string[] => [
    name,
    fixed(median(vivarium[key]), 0),
    fixed(median(qemu[key]), 0),
    times(median(vivarium[key]) / median(qemu[key])),
    times(least(vivarium[key]) / least(qemu[key])),
  ];
  return table(
    ["boot to userspace", "Vivarium, ms", "TCG, ms", "ratio", "ratio of the best"],
    [row("wall time", "wallMs"), row("CPU time", "cpuMs")],
  );
}

function memoryTable(memory: Readonly<Partial<Record<MachineContender, MemoryUse>>>): string {
  const rows = Object.entries(memory).map(([name, { samples, mostOver, lastOver, growth, rounds }]) => {
    const last = samples.at(-1)!;
    const sizes = [last.peak, last.guest, mostOver, lastOver, growth, last.engine].map((size) => fixed(size, 0));
    return [TITLES[name as MachineContender], fixed(last.seconds / 60, 1), String(rounds), ...sizes];
  });
  const head = ["memory, MiB", "minutes", "rounds", "peak", "guest RAM in use", "most over it", "at the end"];
  return table([...head, "growth in the second half", "engine data"], rows);
}

/** Elapsed time of work while it is sampled, beside that of the same work alone. */
function watchedTable(costs: readonly WatchedCost[]): string {
  const cells = (ratios: readonly number[]): string[] =>
    [median(ratios), ...quartiles(ratios)].map((one) => fixed(one, 3));
  const rows = costs.map(({ name, ratios }) => [name, ...cells(ratios), String(ratios.length)]);
  const mean = ["geometric mean", fixed(meanCost(costs), 3), "", "", ""];
  return table(["sampled, times as long", "median", "lower quartile", "upper quartile", "turns"], [...rows, mean]);
}

export function report(results: Results, verdicts: readonly Verdict[]): string {
  const { host, summary, bare, browser, instructions, boot, memory, watched, warnings, failures, quick } = results;
  const packages = Object.entries(host.packages).filter(([name]) => !name.startsWith("lib"));
  const sets = [...new Set(summary?.rows.map((row) => row.set) ?? [])];
  return [
    `- ${host.processor}, ${host.processors} processors, ${host.memoryGiB.toFixed(1)} GiB; Linux ${host.kernel}`,
    `- Node ${host.node} (V8 ${host.v8}); QEMU ${host.qemu}; v86 ${host.v86}; ${host.compiler}`,
    `- Guest: ${host.guestKernel}; ${GUEST_MEMORY_MIB} MiB, ${host.cpuModel}. Load average ${host.loadBefore.toFixed(1)} before, ${host.loadAfter.toFixed(1)} after.`,
    ...(packages.length > 0 ? [`- ${packages.map(([name, version]) => `${name} ${version}`).join(", ")}`] : []),
    ...(quick
      ? [
          "- Quick run: so little work that it is mostly warming up: boots, translation, compiling. It shows what fails, not how fast a guest is.",
        ]
      : []),
    ...(summary
      ? sets.flatMap((set) => ["", itemTable(set, summary, { counts: set === "kernels" ? instructions : undefined })])
      : []),
    ...(bare ? ["", itemTable("bare", bare, { heading: "32-bit kernels" })] : []),
    ...(browser ? ["", itemTable("kernels", browser, { heading: "kernels in a tab" })] : []),
    ...(boot ? ["", bootTable(boot)] : []),
    ...(memory ? ["", memoryTable(memory)] : []),
    ...(watched ? ["", watchedTable(watched)] : []),
    "",
    ...verdicts.map((v) => `- ${v.reached ? "reached" : "MISSED"}: ${v.what}: ${v.value.toFixed(2)} (${v.wanted})`),
    ...warnings.map((warning) => `- warning: ${warning}`),
    ...failures.map((failure) => `- FAILED: ${failure}`),
    "",
  ].join("\n");
}
