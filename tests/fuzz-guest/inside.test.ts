import { expect, it } from "vitest";
import { fuzzGuestInside } from "./inside.ts";

it("hostile memory neither crashes nor hangs what lists tasks, files and sockets in it", { timeout: 240_000 }, () => {
  const { found, failures, slowest } = fuzzGuestInside({ seed: 2026, count: 400, now: () => performance.now() });
  console.log(`slowest: case ${slowest.index} with ${slowest.milliseconds.toFixed(0)} ms; rows in ${found}`);
  expect(failures).toEqual([]);
  expect(found).toBeGreaterThan(300);
});
