/** Exits with their names, and the counters beside them. */
import { STATE_BASE } from "../../cpu/memory-map.ts";
import { offsetOf } from "../../cpu/state.ts";
import type { ExitRow } from "../sampling/exits.ts";
import type { ExitReport } from "./orders.ts";
import { workName } from "./work-names.ts";

export function exitReport(
  rows: readonly ExitRow[],
  devices: readonly string[],
  duration: number,
  instructions: number,
  walks: number,
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
      { name: "TLB misses", value: walks },
    ],
  };
}

const WALKS = STATE_BASE + offsetOf("walks");

/** Walks of page tables so far, for data and for code that no TLB entry answered for. `viv perf stat --help` says which those are. */
export const pageWalks = (memory: WebAssembly.Memory): number =>
  Number(new DataView(memory.buffer).getBigUint64(WALKS, true));

/** Vectors below are the processor's own (SDM vol. 3A, table 6-1). */
const FIRST_EXTERNAL = 32;
