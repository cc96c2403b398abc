/** The strips above the graph: no weight is lost, and one heavy sample does not hide the rest. */
import { describe, expect, it } from "vitest";
import { busyProfile } from "../../../../tests/flame/profiles.ts";
import { flameData } from "../../../perf/flame/data.ts";
import { MODES } from "../../../perf/profile.ts";
import { columnsOf, fullColumn, timeline } from "./timeline.ts";

const sum = (numbers: Iterable<number>): number => [...numbers].reduce((sum, number) => sum + number, 0);
const profile = busyProfile({ samples: 8000, seed: 9 });

describe("the timeline", () => {
  it("holds each vCPU's weight by mode, in however many columns", () => {
    const data = flameData(profile);
    const { strips, bins } = timeline(data, { range: [0, 1] }, 512);
    expect(strips.map(({ lane }) => data.lanes[lane])).toEqual(data.lanes);
    expect(sum(strips.map(({ samples }) => samples))).toBe(8000);
    for (const columns of [1, 7, 512]) {
      const sums = strips.map((strip) => columnsOf(strip, bins, columns));
      for (const mode of MODES.keys()) {
        const found = sum(sums.flatMap((one) => [...one].filter((_, at) => at % MODES.length === mode)));
        const wanted = sum(profile.samples.weight.filter((_, at) => profile.samples.mode[at] === mode));
        expect(found).toBeCloseTo(wanted, 3);
      }
    }
  });

  it("leaves out what the filters do, but for the range, which it is there to choose", () => {
    const lanes = Uint8Array.of(1, 0, 0, 0);
    const { strips } = timeline(flameData(profile), { lanes, range: [0, 1] }, 64);
    expect(strips.map(({ samples }) => samples)).toEqual([2000, 0, 0, 0]);
  });

  it("is scaled by what columns usually hold", () => {
    const weight = profile.samples.weight.slice();
    weight[5] = 1e13;
    const { strips, bins } = timeline(flameData({ ...profile, samples: { ...profile.samples, weight } }), {}, 64);
    const full = fullColumn(strips.map((strip) => columnsOf(strip, bins, 64)));
    expect(full).toBeGreaterThan(profile.info.period * 20);
    expect(full).toBeLessThan(profile.info.period * 40);
    expect(fullColumn([])).toBe(1);
  });
});
