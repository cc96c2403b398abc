import { expect, it } from "vitest";
import { brief, quantity } from "./quantities.ts";

it("quantities have three digits, and marks of an axis no more than they need", () => {
  expect([5e8, 1.5e9, 1e9, 2.05e9, 50e6, 999].map((ns) => brief(ns, "ns"))).toEqual([
    "500 ms",
    "1.5 s",
    "1 s",
    "2.05 s",
    "50 ms",
    "999 ns",
  ]);
  expect(quantity(1.5e9, "ns")).toBe("1.50 s");
  expect(quantity(-2e6, "instructions")).toBe("−2.00 M instructions");
});
