/** What `viv run --stats` prints at the end, on standard error. */
import type { CpuStatistics } from "../sys/node/index.ts";

const NS_PER_MS = 1e6;
const KIB = 1024;

const count = (value: number): string => String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ",");
const percent = (part: number, whole: number): string =>
  whole === 0 ? "" : `${((100 * part) / whole).toFixed(part / whole > 0.999 || part / whole < 0.01 ? 3 : 1)} %`;
const milliseconds = (ns: number): string => `${(ns / NS_PER_MS).toFixed(1)} ms`;
const size = (bytes: number): string => `${count(bytes / KIB)} KiB`;

/** Name, value, and what share of what it is. */
type Line = readonly [string, string, string?];

function lines({ instructions, exits, events, tlb, time, code }: CpuStatistics): Line[] {
  const accesses = tlb.hits + tlb.misses;
  const spent = time.interpreter + time.compiled + time.compiler + time.devices + time.other;
  const timeLine = (name: string, ns: number): Line => [`time, ${name}`, milliseconds(ns), percent(ns, spent)];
  const basis = time.samples > 0 ? `by ${count(time.samples)} samples` : "by instructions";
  return [
    ["instructions", count(instructions.retired)],
    ["  in compiled code", count(instructions.compiled), percent(instructions.compiled, instructions.retired)],
    ["exits, budget used up", count(exits.budget)],
    ["exits, attention", count(exits.attention)],
    ["exits, fault", count(exits.fault)],
    ["exits, left by instruction", count(exits.leave)],
    ["exits, single step", count(exits.step)],
    ["exits, halted", count(exits.halted)],
    ["interrupts taken", count(events.interrupts)],
    ["faults without an exit", count(events.faultsInside)],
    ["device accesses", count(events.deviceAccesses)],
    ["TLB hits", count(tlb.hits), percent(tlb.hits, accesses)],
    ["TLB misses", count(tlb.misses), percent(tlb.misses, accesses)],
    ["page walks", count(tlb.walks)],
    timeLine("interpreter", time.interpreter),
    timeLine("compiled code", time.compiled),
    timeLine("compiler", time.compiler),
    timeLine("devices", time.devices),
    timeLine("other", time.other),
    ["  interpreter and compiled code told apart", basis],
    ["regions entered", count(events.regionsEntered)],
    [
      "code cache, regions",
      count(code.regions),
      `${count(code.regionsMade)} made, ${count(code.regionsDropped)} dropped`,
    ],
    ["code cache, compiled", size(code.bytes), `${size(code.bytesMade)} made`],
    ["code cache, decoded", size(code.decodedBytes)],
  ];
}

/** As a table for people. */
export function statisticsTable(statistics: CpuStatistics): string {
  const all = lines(statistics);
  const width = (cell: 0 | 1): number => Math.max(...all.map((line) => line[cell].length));
  const [names, values] = [width(0), width(1)];
  return all
    .map(([name, value, share = ""]) => `${name.padEnd(names)}  ${value.padStart(values)}  ${share}`.trimEnd())
    .map((line) => `${line}\n`)
    .join("");
}

/** What is printed at the end. `statistics`: absent where the machine did not come to its end by itself. */
export const statisticsText = (statistics: CpuStatistics | undefined, json: boolean): string => {
  if (statistics === undefined) return "viv: no statistics: the machine was ended by force\n";
  return json ? `${JSON.stringify(statistics, undefined, 2)}\n` : statisticsTable(statistics);
};
