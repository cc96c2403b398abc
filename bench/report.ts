/** The results as a table, in Markdown so that it can go into docs/performance.md as it is. */
import type { BootTimes } from "./boot.ts";
import type { Contender, MachineContender } from "./contenders.ts";
import type { Host } from "./host.ts";
import type { InstructionCounts } from "./instructions.ts";
import type { KernelTimes } from "./kernels.ts";
import type { MemoryUse } from "./memory.ts";
import { geometricMean, least, median } from "./statistics.ts";

export interface Results {
  readonly host: Host;
  readonly quick: boolean;
  readonly kernels?: readonly KernelTimes[];
  readonly instructions?: InstructionCounts;
  readonly boot?: Readonly<Record<MachineContender, BootTimes>>;
  readonly memory?: Readonly<Record<MachineContender, MemoryUse>>;
  readonly warnings: readonly string[];
}

/** What the project asks of itself. */
const TARGET = { geometricMean: 40, mips: 100, boot: 12, memoryMiB: 200 } as const;
/** The kernel whose instructions a second are the figure for integer loops. */
const INTEGER_LOOP = "alu";

const ms = (ns: number): string => (Number.isFinite(ns) ? (ns / 1e6).toFixed(1) : "–");
const times = (ratio: number): string => (Number.isFinite(ratio) ? `${ratio.toFixed(1)}` : "–");

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string => {
  const widths = head.map((cell, i) => Math.max(cell.length, 3, ...rows.map((row) => row[i]!.length)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join(" | ")} |`;
  const rule = widths.map((width, i) => (i === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`));
  return [line(head), line(rule), ...rows.map(line)].join("\n");
};

/** Medians in nanoseconds, and the ratios of medians to native. */
export function summarise({ name, times }: KernelTimes): Summary {
  const of = (contender: Contender) => ({
    elapsed: median(times[contender].elapsed),
    cpu: median(times[contender].cpu),
  });
  const native = of("native");
  const guest = (contender: MachineContender): Guest => {
    const { elapsed, cpu } = of(contender);
    return { elapsed, cpu, elapsedRatio: elapsed / native.elapsed, cpuRatio: cpu / native.cpu };
  };
  return { name, native, vivarium: guest("vivarium"), qemu: guest("qemu") };
}
interface Guest {
  readonly elapsed: number;
  readonly cpu: number;
  readonly elapsedRatio: number;
  readonly cpuRatio: number;
}
interface Summary extends Record<MachineContender, Guest> {
  readonly name: string;
  readonly native: Pick<Guest, "elapsed" | "cpu">;
}

function mipsOf({ name, vivarium }: Summary, counts: InstructionCounts | undefined): number | undefined {
  const retired = counts?.kernels[name];
  return retired === undefined ? undefined : (retired / vivarium.cpu) * 1e3;
}

function kernelTable(kernels: readonly KernelTimes[], counts: InstructionCounts | undefined): string {
  const rows = kernels.map(summarise);
  const mean = (pick: (row: Summary) => number): string => times(geometricMean(rows.map(pick)));
  const ratios: ((row: Summary) => number)[] = [
    (row) => row.vivarium.cpuRatio,
    (row) => row.qemu.cpuRatio,
    (row) => row.vivarium.elapsedRatio,
    (row) => row.qemu.elapsedRatio,
  ];
  return table(
    ["kernel", "native CPU ms", "Vivarium", "TCG", "Vivarium ×", "TCG ×", "elapsed ×", "TCG elapsed ×", "MIPS"],
    [
      ...rows.map((row) => [
        row.name,
        ms(row.native.cpu),
        ms(row.vivarium.cpu),
        ms(row.qemu.cpu),
        ...ratios.map((pick) => times(pick(row))),
        mipsOf(row, counts)?.toFixed(0) ?? "–",
      ]),
      ["geometric mean", "", "", "", ...ratios.map(mean), ""],
    ],
  );
}

function bootTable(boot: Readonly<Record<MachineContender, BootTimes>>): string {
  const { vivarium, qemu } = boot;
  const row = (name: string, key: keyof BootTimes): string[] => [
    name,
    median(vivarium[key]).toFixed(0),
    median(qemu[key]).toFixed(0),
    times(median(vivarium[key]) / median(qemu[key])),
    times(least(vivarium[key]) / least(qemu[key])),
  ];
  return table(
    ["boot to userspace", "Vivarium ms", "TCG ms", "ratio", "best ratio"],
    [row("wall", "wallMs"), row("CPU", "cpuMs")],
  );
}

function memoryTable(memory: Readonly<Record<MachineContender, MemoryUse>>): string {
  const row = (name: string, { peakMiB, nowMiB, guestMiB, engineMiB }: MemoryUse): string[] =>
    [name].concat([peakMiB, nowMiB, guestMiB, peakMiB - guestMiB, engineMiB].map((size) => size.toFixed(0)));
  return table(
    ["memory, MiB", "peak", "at userspace", "guest RAM in use", "peak over the guest's", "of it engine data"],
    [row("Vivarium", memory.vivarium), row("TCG", memory.qemu)],
  );
}

/** Each target with what was reached. */
export function verdicts({ kernels, instructions, boot, memory }: Results): string[] {
  const lines: string[] = [];
  const say = (what: string, value: number, unit: string, wanted: string, reached: boolean): void => {
    // What was not measured has no verdict.
    if (!Number.isFinite(value)) return;
    lines.push(`${reached ? "reached" : "MISSED "}  ${what}: ${value.toFixed(1)}${unit} (${wanted})`);
  };
  if (kernels && kernels.length > 0) {
    const rows = kernels.map(summarise);
    const mean = geometricMean(rows.map((row) => row.vivarium.cpuRatio));
    say("kernels", mean, " × native in CPU time", `at most ${TARGET.geometricMean}`, mean <= TARGET.geometricMean);
    const loop = rows.find(({ name }) => name === INTEGER_LOOP);
    const mips = loop && mipsOf(loop, instructions);
    if (mips !== undefined) say("integer loop", mips, " MIPS", `at least ${TARGET.mips}`, mips >= TARGET.mips);
  }
  if (boot) {
    const ratio = median(boot.vivarium.wallMs) / median(boot.qemu.wallMs);
    say("boot", ratio, " × TCG", `at most ${TARGET.boot}`, ratio <= TARGET.boot);
  }
  if (memory) {
    const over = memory.vivarium.peakMiB - memory.vivarium.guestMiB;
    say("memory over the guest's", over, " MiB", `at most ${TARGET.memoryMiB}`, over <= TARGET.memoryMiB);
  }
  return lines;
}

export function report(results: Results): string {
  const { host, kernels, instructions, boot, memory, warnings, quick } = results;
  return [
    `${host.processor}, ${host.processors} processors, ${host.memoryGiB.toFixed(1)} GiB; Linux ${host.kernel}`,
    `Node ${host.node} (V8 ${host.v8}); QEMU ${host.qemu}; ${host.compiler}`,
    `Guest: ${host.guestKernel}. Load average ${host.loadBefore.toFixed(1)} before, ${host.loadAfter.toFixed(1)} after.`,
    ...(quick ? ["Quick run: few repetitions, less work; noisier than a full one."] : []),
    ...(kernels ? ["", kernelTable(kernels, instructions)] : []),
    ...(boot ? ["", bootTable(boot)] : []),
    ...(instructions ? ["", `Boot retires ${(instructions.boot / 1e6).toFixed(0)} million instructions.`] : []),
    ...(memory ? ["", memoryTable(memory)] : []),
    "",
    ...verdicts(results),
    ...warnings.map((warning) => `warning  ${warning}`),
    "",
  ].join("\n");
}
