/** How busy each vCPU was over the recording, and with what: the strips above the graph. */
import type { FlameData } from "../../../perf/flame/data.ts";
import { MODES } from "../../../perf/profile.ts";
import { eachPassing, type Filter } from "./call-tree.ts";

export interface Strip {
  readonly profile: number;
  readonly lane: number;
  readonly samples: number;
  /** Weight in each bin: of each mode, one after the other. */
  readonly bins: Float64Array;
}

export interface Timeline {
  readonly strips: readonly Strip[];
  readonly bins: number;
  /** Nanoseconds that all bins span. */
  readonly duration: number;
}

export function timeline(data: FlameData, filter: Filter, bins: number): Timeline {
  let duration = 1;
  for (const { info, time } of data.profiles) {
    duration = time.reduce((most, at) => Math.max(most, at + 1), Math.max(duration, info.duration));
  }
  const strips: Strip[] = [];
  for (const [profile, samples] of data.profiles.entries()) {
    const own = data.lanes.map((_, lane) => {
      const isThere = samples.laneStart[lane + 1]! > samples.laneStart[lane]!;
      return isThere ? { profile, lane, samples: 0, bins: new Float64Array(bins * MODES.length) } : undefined;
    });
    eachPassing(data, samples, { ...filter, range: undefined }, (sample, lane) => {
      const strip = own[lane]!;
      const bin = Math.min(bins - 1, Math.floor((samples.time[sample]! / duration) * bins));
      strip.bins[bin * MODES.length + samples.mode[sample]!]! += samples.weight[sample]!;
      strip.samples++;
    });
    strips.push(...own.filter((strip) => strip !== undefined));
  }
  return { strips, bins, duration };
}

/** Weight of each column of a strip by mode, as `bins`, in fewer columns. */
export function columnsOf({ bins }: Strip, count: number, columns: number): Float64Array {
  const sums = new Float64Array(columns * MODES.length);
  for (let bin = 0; bin < count; bin++) {
    const column = Math.floor((bin * columns) / count);
    for (let mode = 0; mode < MODES.length; mode++) {
      sums[column * MODES.length + mode]! += bins[bin * MODES.length + mode]!;
    }
  }
  return sums;
}

/** Columns above which a part of all rise: one sample may weigh as much as all others, and must not flatten them. */
const OUTLIERS = 1 / 20;

/** The weight that a full column stands for. */
export function fullColumn(strips: readonly Float64Array[]): number {
  const weights: number[] = [];
  for (const sums of strips) {
    for (let at = 0; at < sums.length; at += MODES.length) {
      let sum = 0;
      for (let mode = 0; mode < MODES.length; mode++) sum += sums[at + mode]!;
      if (sum > 0) weights.push(sum);
    }
  }
  weights.sort((a, b) => a - b);
  return weights[Math.floor((weights.length - 1) * (1 - OUTLIERS))] ?? 1;
}
