/**
 * What `viv perf stat` prints: why a guest's vCPUs left guest code, how often and for how long, as `perf kvm stat report` does
 * (tools/perf/builtin-kvm.c), and counters as `perf stat` does.
 */
import { forTerminal } from "../../guest/escape.ts";

export interface ExitReason {
  readonly reason: string;
  readonly count: number;
  /** Nanoseconds, as are all that follow. */
  readonly time: number;
  readonly min: number;
  readonly max: number;
  /** Of the times, for their spread. */
  readonly squares: number;
  /** How many took from 2^i up to 2^(i+1) ns; the first those below 2, too. */
  readonly histogram: readonly number[];
}

export interface StatCounter {
  readonly name: string;
  readonly value: number;
}

export interface StatReport {
  readonly guest: string;
  /** Absent: all of the guest's. */
  readonly vcpu?: number;
  /** Nanoseconds that were watched. */
  readonly duration: number;
  readonly exits: readonly ExitReason[];
  readonly counters: readonly StatCounter[];
}

export interface StatOptions {
  readonly sort: "samples" | "time";
  readonly histogram: boolean;
}

const NS_PER_US = 1e3;
const NS_PER_S = 1e9;
/** Longest exit that has a bucket to itself: 2^47 ns is a day and a half. */
const BUCKETS = 48;

/** Sums up exits as they come. */
export class ExitStatistics {
  readonly #reasons = new Map<
    string,
    { -readonly [Key in keyof ExitReason]: ExitReason[Key] } & { histogram: number[] }
  >();

  add(reason: string, time: number): void {
    let sum = this.#reasons.get(reason);
    if (sum === undefined) {
      const histogram = Array.from({ length: BUCKETS }, () => 0);
      sum = { reason, count: 0, time: 0, min: Number.POSITIVE_INFINITY, max: 0, squares: 0, histogram };
      this.#reasons.set(reason, sum);
    }
    sum.count++;
    sum.time += time;
    sum.min = Math.min(sum.min, time);
    sum.max = Math.max(sum.max, time);
    sum.squares += time * time;
    sum.histogram[Math.min(BUCKETS - 1, Math.max(0, Math.floor(Math.log2(time))))]!++;
  }

  /** What came so far. */
  reasons(): readonly ExitReason[] {
    return [...this.#reasons.values()].map((sum) => ({ ...sum, histogram: [...sum.histogram] }));
  }
}

const REASON_WIDTH = 20;
const microseconds = (ns: number): string => `${(ns / NS_PER_US).toFixed(2)}us`;
const share = (part: number, whole: number): string => `${(whole > 0 ? (100 * part) / whole : 0).toFixed(2)}%`;

export function* statLines(report: StatReport, { sort, histogram }: StatOptions): Generator<string> {
  const { exits, counters, duration, guest, vcpu } = report;
  const seen = exits.filter(({ count }) => count > 0);
  if (seen.length > 0) {
    const count = seen.reduce((sum, exit) => sum + exit.count, 0);
    const time = seen.reduce((sum, exit) => sum + exit.time, 0);
    const by = (exit: ExitReason): number => (sort === "time" ? exit.time : exit.count);
    const ordered = [...seen].sort((a, b) => by(b) - by(a) || (a.reason < b.reason ? -1 : 1));
    yield `Analyze events for ${forTerminal(guest)}, ${vcpu === undefined ? "all VCPUs" : `VCPU ${vcpu}`}:`;
    yield "";
    yield row(["VM-EXIT", "Samples", "Samples%", "Time%", "Min Time", "Max Time", "Avg time"]);
    yield "";
    for (const exit of ordered) {
      yield row([
        forTerminal(exit.reason).slice(0, REASON_WIDTH * 2),
        String(exit.count),
        share(exit.count, count),
        share(exit.time, time),
        microseconds(exit.min),
        microseconds(exit.max),
        `${microseconds(exit.time / exit.count)} ( +-${relativeDeviation(exit).toFixed(2).padStart(7)}% )`,
      ]);
    }
    yield "";
    yield `Total Samples:${count}, Total events handled time:${microseconds(time)}.`;
    yield "";
    if (histogram) for (const exit of ordered) yield* histogramLines(exit);
  }
  for (const { name, value } of counters) {
    const rate = duration > 0 ? `  # ${perSecond((value * NS_PER_S) / duration)}` : "";
    yield `${grouped(value).padStart(REASON_WIDTH)}  ${forTerminal(name).padEnd(REASON_WIDTH)}${rate}`.trimEnd();
  }
  if (counters.length > 0) yield "";
  yield `${(duration / NS_PER_S).toFixed(9).padStart(REASON_WIDTH)} seconds time elapsed`;
}

const WIDTHS = [REASON_WIDTH, 10, 9, 9, 12, 12, 29];
const row = (cells: readonly string[]): string => cells.map((cell, i) => cell.padStart(WIDTHS[i]!)).join(" ");

/** Standard deviation of the mean, in percent of it. */
function relativeDeviation({ count, time, squares }: ExitReason): number {
  if (count < 2 || time === 0) return 0;
  const variance = Math.max(0, squares - (time * time) / count) / (count - 1);
  return (100 * Math.sqrt(variance / count)) / (time / count);
}

const grouped = (value: number): string => String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ",");

function perSecond(rate: number): string {
  for (const [unit, size] of [
    ["G", 1e9],
    ["M", 1e6],
    ["K", 1e3],
  ] as const) {
    if (rate >= size) return `${(rate / size).toFixed(3)} ${unit}/sec`;
  }
  return `${rate.toFixed(3)} /sec`;
}

const BAR = 40;

/** A line for each power of two from the shortest exit to the longest. */
function* histogramLines({ reason, histogram }: ExitReason): Generator<string> {
  const first = histogram.findIndex((count) => count > 0);
  const last = histogram.findLastIndex((count) => count > 0);
  const most = histogram.reduce((a, b) => Math.max(a, b), 1);
  yield `${forTerminal(reason)}:`;
  for (let bucket = first; bucket >= 0 && bucket <= last; bucket++) {
    const count = histogram[bucket] ?? 0;
    const range = `${bucket === 0 ? "0 ns" : time(2 ** bucket)} - ${time(2 ** (bucket + 1))}`;
    yield `  ${range.padEnd(22)} ${String(count).padStart(10)} |${"#".repeat(Math.ceil((BAR * count) / most)).padEnd(BAR)}|`;
  }
  yield "";
}

function time(ns: number): string {
  for (const [unit, size] of [
    ["s", NS_PER_S],
    ["ms", 1e6],
    ["us", NS_PER_US],
  ] as const) {
    if (ns >= size) return `${Number((ns / size).toPrecision(3))} ${unit}`;
  }
  return `${ns} ns`;
}
