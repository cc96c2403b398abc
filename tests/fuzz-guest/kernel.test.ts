import { expect, it } from "vitest";
import { fuzzGuestKernel } from "./kernel.ts";

it("hostile memory neither crashes nor hangs what looks for a kernel in it", { timeout: 240_000 }, () => {
  const { found, failures, slowest } = fuzzGuestKernel({ seed: 4, count: 250, now: () => performance.now() });
  console.log(`slowest: case ${slowest.index} with ${slowest.milliseconds.toFixed(0)} ms; ${found} kernels found`);
  expect(failures).toEqual([]);
  // Neither all is refused, nor is all that lies believed.
  expect(found).toBeGreaterThan(50);
  expect(found).toBeLessThan(240);
});
