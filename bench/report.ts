/** The results as a table, in Markdown so that it can go into docs/performance.md as it is. */
import type { BootTimes } from "./boot.ts";
import type { MachineContender } from "./contenders.ts";
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

const ms = (ns: number): string => (ns / 1e6).toFixed(1);
const times = (ratio: number): string => (Number.isFinite(ratio) ? `${ratio.toFixed(1)}` : "–");

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string => {
  const widths = head.map((cell, i) => Math.max(cell.length, 3, ...rows.map((row) => row[i]!.length)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join(" | ")} |`;
  const rule = widths.map((width, i) => (i === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`));
  return [line(head), line(rule), ...rows.map(line)].join("\n");
};

/** Medians, and their ratios to native. */
export function summarise(kernel: KernelTimes): { native: number; vivarium: number; qemu: number } & Ratios {
  const { native, vivarium, qemu } = kernel.times;
  const base = median(native);
  return {
    native: base,
    vivarium: median(vivarium),
    qemu: median(qemu),
    vivariumRatio: median(vivarium) / base,
    qemuRatio: median(qemu) / base,
    vivariumBest: least(vivarium) / least(native),
    qemuBest: least(qemu) / least(native),
  };
}
interface Ratios {
  readonly vivariumRatio: number;
  readonly qemuRatio: number;
  readonly vivariumBest: number;
  readonly qemuBest: number;
}

function kernelTable(kernels: readonly KernelTimes[], counts: InstructionCounts | undefined): string {
  const rows = kernels.map((kernel) => ({ name: kernel.name, ...summarise(kernel) }));
  const mips = (row: { name: string; vivarium: number }): string => {
    const retired = counts?.kernels[row.name];
    return retired === undefined ? "–" : ((retired / row.vivarium) * 1e3).toFixed(0);
  };
  const mean = (key: keyof Ratios): string => times(geometricMean(rows.map((row) => row[key])));
  return table(
    ["kernel", "native ms", "Vivarium ms", "TCG ms", "Vivarium ×", "TCG ×", "best ×", "TCG best ×", "Vivarium MIPS"],
    [
      ...rows.map((row) => [
        row.name,
        ms(row.native),
        ms(row.vivarium),
        ms(row.qemu),
        ...[row.vivariumRatio, row.qemuRatio, row.vivariumBest, row.qemuBest].map(times),
        mips(row),
      ]),
      [
        "geometric mean",
        "",
        "",
        "",
        ...(["vivariumRatio", "qemuRatio", "vivariumBest", "qemuBest"] as const).map(mean),
        "",
      ],
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
  const row = (name: string, { peakMiB, nowMiB, guestMiB }: MemoryUse): string[] =>
    [name].concat([peakMiB, nowMiB, guestMiB, peakMiB - guestMiB].map((size) => size.toFixed(0)));
  return table(
    ["memory, MiB", "peak", "at userspace", "guest RAM in use", "peak over the guest's"],
    [row("Vivarium", memory.vivarium), row("TCG", memory.qemu)],
  );
}

/** Each target with what was reached. */
export function verdicts({ kernels, instructions, boot, memory }: Results): string[] {
  const lines: string[] = [];
  const say = (what: string, value: number, unit: string, wanted: string, reached: boolean): void => {
    lines.push(`${reached ? "reached" : "MISSED "}  ${what}: ${value.toFixed(1)}${unit} (${wanted})`);
  };
  if (kernels && kernels.length > 0 && kernels.every((kernel) => kernel.times.vivarium.length > 0)) {
    const mean = geometricMean(kernels.map((kernel) => summarise(kernel).vivariumRatio));
    say("kernels", mean, " × native", `at most ${TARGET.geometricMean}`, mean <= TARGET.geometricMean);
    const loop = kernels.find(({ name }) => name === INTEGER_LOOP);
    const retired = instructions?.kernels[INTEGER_LOOP];
    if (loop && retired !== undefined) {
      const mips = (retired / median(loop.times.vivarium)) * 1e3;
      say("integer loop", mips, " MIPS", `at least ${TARGET.mips}`, mips >= TARGET.mips);
    }
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
