import { expect, it } from "vitest";
import { fuzzGuestStacks } from "./stacks.ts";

it("hostile programs and stacks neither crash nor hang what follows calls", { timeout: 120_000 }, () => {
  const { found, failures, slowest } = fuzzGuestStacks({ seed: 7, count: 1000, now: () => performance.now() });
  console.log(`slowest: case ${slowest.index} with ${slowest.milliseconds.toFixed(0)} ms; chains in ${found}`);
  expect(failures).toEqual([]);
  expect(found).toBeGreaterThan(150);
});
