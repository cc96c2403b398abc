/** Exits with their names, and the counters beside them. */
import type { ExitRow } from "../sampling/exits.ts";
import type { ExitReport } from "./orders.ts";
import { workName } from "./work-names.ts";

export function exitReport(
  rows: readonly ExitRow[],
  devices: readonly string[],
  duration: number,
  instructions: number,
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
    ],
  };
}

/** Vectors below are the processor's own (SDM vol. 3A, table 6-1). */
const FIRST_EXTERNAL = 32;
