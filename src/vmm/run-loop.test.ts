import { describe, expect, it } from "vitest";
import { type Ns, ns } from "../base/index.ts";
import { Timers } from "../machine/timers.ts";
import { MAX_BUDGET, MIN_BUDGET, RunLoop, type RunLoopPorts } from "./run-loop.ts";
import type { SliceEnd } from "./vcpu.ts";

/** A vCPU that does `script` slice by slice, at `nsPerInstruction`, on a clock of its own. */
const machine = (
  nsPerInstruction: number,
  script: (slice: number) => SliceEnd | "stop",
  ports: Partial<RunLoopPorts> = {},
) => {
  let now = 0;
  let slice = 0;
  let stopped = false;
  const clock = { now: (): Ns => ns(now), wallTime: () => 0 };
  const timers = new Timers(clock);
  const budgets: number[] = [];
  const waits: number[] = [];
  const vcpu = {
    instructions: 0,
    run(budget: number): SliceEnd {
      const end = script(slice++);
      if (end === "stop") stopped = true;
      if (end !== "running") return end === "stop" ? "running" : end;
      budgets.push(budget);
      vcpu.instructions += budget;
      now += budget * nsPerInstruction;
      return end;
    },
  };
  const waiter = {
    wait(until: Ns) {
      waits.push(until);
      if (until !== Number.POSITIVE_INFINITY) now = Math.max(now, until);
    },
  };
  const loop = new RunLoop({
    clock,
    timers,
    vcpu,
    waiter,
    look: () => (stopped ? "stop" : "run"),
    flush: () => undefined,
    settle: () => true,
    ...ports,
  });
  return { loop, timers, clock, budgets, waits, advance: (by: number) => (now += by) };
};

describe("the run loop", () => {
  it.each([1, 10, 200])("keeps timers no more than a millisecond late at %i ns an instruction", (pace) => {
    const m = machine(pace, (slice) => (slice > 4000 ? "stop" : "running"));
    const late: number[] = [];
    const arm = (at: number): void => {
      m.timers.at(ns(at), () => {
        late.push(m.clock.now() - at);
        arm(m.clock.now() + 777_777);
      });
    };
    arm(50_000_000);
    m.loop.run();
    expect(late.length).toBeGreaterThan(20);
    expect(Math.min(...late)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...late)).toBeLessThan(1_000_000);
  });

  it("makes slices as long as the guest's pace allows, and no longer", () => {
    const m = machine(0.1, (slice) => (slice > 300 ? "stop" : "running"));
    m.loop.run();
    expect(m.budgets.at(-1)).toBe(MAX_BUDGET);
    const slow = machine(100_000, (slice) => (slice > 300 ? "stop" : "running"));
    slow.loop.run();
    expect(slow.budgets.at(-1)).toBe(MIN_BUDGET);
  });

  it("rests until the next timer when the guest halts, and fires it then", () => {
    const fired: number[] = [];
    const m = machine(1, (slice) => (slice < 1 ? "halted" : "stop"));
    m.timers.at(ns(5_000_000), () => fired.push(m.clock.now()));
    m.loop.run();
    expect(m.waits).toEqual([5_000_000]);
    expect(fired).toEqual([5_000_000]);
  });

  it("rests until something comes from outside when no timer is there", () => {
    const m = machine(1, (slice) => (slice < 1 ? "halted" : "stop"));
    m.loop.run();
    expect(m.waits).toEqual([Number.POSITIVE_INFINITY]);
  });

  it("runs nothing while paused", () => {
    const orders = ["pause", "pause", "stop"] as const;
    let look = 0;
    const m = machine(1, () => "running", { look: () => orders[look++]! });
    m.loop.run();
    expect(m.budgets).toEqual([]);
    expect(m.waits.length).toBe(2);
  });

  it("ends when the slice's outcome says so, after passing on what was sent", () => {
    const seen: string[] = [];
    const m = machine(1, () => "shutdown", {
      flush: () => void seen.push("flush"),
      settle: (end) => {
        seen.push(end);
        return false;
      },
    });
    m.loop.run();
    expect(seen).toEqual(["flush", "shutdown"]);
  });
});
