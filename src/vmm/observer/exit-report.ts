/** Exits with their names, and the counters beside them. */
import { COUNTERS } from "../../cpu/memory-map.ts";
import type { ExitRow } from "../sampling/exits.ts";
import type { ExitReport } from "./orders.ts";
import { workName } from "./work-names.ts";

export function exitReport(
  rows: readonly ExitRow[],
  devices: readonly string[],
  duration: number,
  instructions: number,
  tlb: TlbCounts | undefined,
): ExitReport {
  const interrupts = rows.filter(({ work, detail }) => work === "event" && detail >= FIRST_EXTERNAL);
  const faults = rows.filter(({ work, detail }) => work === "event" && detail < FIRST_EXTERNAL);
  const sum = (some: readonly ExitRow[]): number => some.reduce((total, { count }) => total + count, 0);
  return {
    duration,
    exits: rows.map(({ work, detail, count, total, least, most, squares, buckets }) => ({
      reason: workName(work, detail, devices),
      count,
      time: total,
      min: least,
      max: most,
      squares,
      histogram: buckets,
    })),
    counters: [
      { name: "instructions", value: instructions },
      { name: "interrupts", value: sum(interrupts) },
      { name: "exceptions that left guest code", value: sum(faults) },
      ...(tlb
        ? [
            { name: "TLB misses", value: tlb.misses },
            { name: "page walks", value: tlb.walks },
          ]
        : []),
    ],
  };
}

/** What a vCPU counts that was started for it (`viv run --stats`): its generated code has other instructions than that of others. */
export interface TlbCounts {
  readonly accesses: number;
  readonly misses: number;
  readonly walks: number;
}

export function tlbCounts(memory: WebAssembly.Memory): TlbCounts {
  const view = new DataView(memory.buffer);
  const at = (address: number): number => Number(view.getBigUint64(address, true));
  return { accesses: at(COUNTERS.accesses), misses: at(COUNTERS.misses), walks: at(COUNTERS.walks) };
}

/** Undefined where nothing was counted. */
export function tlbDifference(before: TlbCounts, after: TlbCounts): TlbCounts | undefined {
  const accesses = after.accesses - before.accesses;
  return accesses > 0
    ? { accesses, misses: after.misses - before.misses, walks: after.walks - before.walks }
    : undefined;
}

/** Vectors below are the processor's own (SDM vol. 3A, table 6-1). */
const FIRST_EXTERNAL = 32;
