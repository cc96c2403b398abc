import { expect, it } from "vitest";
import { ProfileBuilder } from "./builder.ts";
import type { ProfileInfo } from "./profile.ts";

const INFO: ProfileInfo = {
  event: "cpu-clock",
  unit: "ns",
  period: 1e9 / 999,
  startedAt: 0,
  duration: 1e9,
  hostname: "",
  hostKernel: "",
  cpu: "",
  cpus: 1,
  command: [],
  version: "",
  lost: 0,
};

it("weighs samples in whole nanoseconds, so that equal sums are equal whatever their order", () => {
  const sums = [
    [1, 2, 3, 4, 5, 6, 7],
    [7, 6, 5, 4, 3, 2, 1],
  ].map((ticks) => {
    const builder = new ProfileBuilder();
    for (const count of ticks) {
      builder.sample({ time: 0, stack: -1, task: 0, vcpu: 0, mode: "host", weight: (count * 1e9) / 999 });
    }
    return builder.build(INFO).samples.weight.reduce((sum, weight) => sum + weight, 0);
  });
  expect(sums[0]).toBe(28_028_028);
  expect(sums[1]).toBe(28_028_028);
});
