/** How busy each vCPU was over the recording, and with what: the strips above the graph. */
import type { FlameData } from "../../../perf/flame/data.ts";
import { MODES } from "../../../perf/profile.ts";
import { eachPassing, type Filter } from "./call-tree.ts";

export interface Strip {
  readonly profile: number;
  readonly lane: number;
  /** Weight in each bin: of each mode, one after the other. */
  readonly bins: Float64Array;
}

export interface Timeline {
  readonly strips: readonly Strip[];
  readonly bins: number;
  /** Nanoseconds that all bins span. */
  readonly duration: number;
  /** The largest weight in any bin. */
  readonly peak: number;
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
      return isThere ? { profile, lane, bins: new Float64Array(bins * MODES.length) } : undefined;
    });
    eachPassing(data, samples, { ...filter, range: undefined }, (sample, lane) => {
      const bin = Math.min(bins - 1, Math.floor((samples.time[sample]! / duration) * bins));
      own[lane]!.bins[bin * MODES.length + samples.mode[sample]!]! += samples.weight[sample]!;
    });
    strips.push(...own.filter((strip) => strip !== undefined));
  }
  let peak = 0;
  for (const { bins: weights } of strips) {
    for (let at = 0; at < weights.length; at += MODES.length) {
      let sum = 0;
      for (let mode = 0; mode < MODES.length; mode++) sum += weights[at + mode]!;
      if (sum > peak) peak = sum;
    }
  }
  return { strips, bins, duration, peak };
}
