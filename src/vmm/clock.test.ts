import { describe, expect, it } from "vitest";
import { ns } from "../base/index.ts";
import { MachineClock } from "./clock.ts";

describe("the machine's clock", () => {
  it("starts at 0 and stands still while held", () => {
    let host = 5_000;
    const clock = new MachineClock({ now: () => ns(host), wallTime: () => 42 });
    host += 10;
    expect(clock.now()).toBe(10);
    clock.hold();
    host += 1_000;
    expect(clock.now()).toBe(10);
    clock.hold();
    clock.release();
    clock.release();
    host += 5;
    expect(clock.now()).toBe(15);
    expect(clock.wallTime()).toBe(42);
  });
});
