import { describe, expect, it } from "vitest";
import { duration } from "./ps.ts";

describe("an uptime", () => {
  it.each([
    [0, "0s"],
    [999, "0s"],
    [59_999, "59s"],
    [60_000, "1m0s"],
    [3_725_000, "1h2m"],
    [86_400_000 * 3 + 3_600_000 * 4, "3d4h"],
    [-5, "0s"],
  ])("of %d ms is %s", (milliseconds, shown) => {
    expect(duration(milliseconds)).toBe(shown);
  });
});
