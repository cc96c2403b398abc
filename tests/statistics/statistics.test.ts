/** What a vCPU counts, against what the program does by its listing. */
import { describe, expect, it } from "vitest";
import { CountingCpu, type CpuOptions } from "../../src/cpu/index.ts";
import { sampler } from "../../src/cpu/statistics/place.ts";
import { ACCESSES, finish, INSTRUCTIONS, type Mode, PASSES, prepare } from "./guest.ts";

const DEVICE_NS = 1000;
const CODE_NS = 50;
const RETIRED = INSTRUCTIONS.around + INSTRUCTIONS.pass * PASSES;

/** Time passes only in the device and where the program reads the time-stamp counter. */
function counted(mode: Mode, jit: CpuOptions["jit"], budget?: number) {
  let now = 0;
  let sample = (): void => undefined;
  const devices = {
    portWrite: () => {
      now += DEVICE_NS;
      sample();
    },
    tsc: () => {
      now += CODE_NS;
      sample();
      return 1;
    },
  };
  const { cpu, memory } = prepare(
    (options) => new CountingCpu({ ...options, ...(jit === undefined ? {} : { jit }), now: () => now }),
    mode,
    devices,
  );
  sample = sampler(memory);
  finish(cpu, budget);
  return cpu.statistics;
}

describe.each(["flat32", "long64"] as const)("statistics of a vCPU (%s)", (mode) => {
  it.each([
    ["interpreted", false],
    ["compiled before it runs", { threshold: 0 }],
    ["compiled when it is hot", { threshold: 50 }],
    ["copied", { threshold: 1 << 30, templates: 0 }],
    ["copied and then compiled", { threshold: 50, templates: 10 }],
  ] as const)("count instructions and memory accesses of code that is %s", (_, jit) => {
    const { instructions, tlb } = counted(mode, jit);
    expect(instructions.retired).toBe(RETIRED);
    expect(tlb.hits + tlb.misses).toBe(ACCESSES * PASSES);
    // Data, stack; each a time or two.
    expect(tlb.misses).toBeGreaterThanOrEqual(2);
    expect(tlb.misses).toBeLessThan(10);
    // Data, stack and code; without paging there is nothing to walk.
    if (mode === "flat32") expect(tlb.walks).toBe(0);
    else expect(tlb.walks).toBeGreaterThan(tlb.misses);
  });

  it("say how much of it was compiled code's", () => {
    const [none, most] = [counted(mode, false), counted(mode, { threshold: 50 })];
    expect([none.instructions.compiled, none.events.regionsEntered, none.code.regions]).toEqual([0, 0, 0]);
    expect(most.instructions.compiled).toBeGreaterThan(RETIRED * 0.8);
    expect(most.instructions.compiled).toBeLessThan(RETIRED);
    expect(most.code.regions).toBeGreaterThan(0);
    expect(most.code.regionsMade - most.code.regionsDropped).toBe(most.code.regions);
    expect(most.code.bytes).toBeGreaterThan(100);
    // Modules have more in them than functions.
    expect(most.code.bytesMade).toBeGreaterThan(most.code.bytes);
    expect(most.code.decodedBytes).toBeGreaterThan(0);
  });

  it.each([{ threshold: 0 }, { threshold: 50, templates: 0 }])(
    "never count more as compiled than was retired",
    (jit) => {
      const all = counted(mode, jit, 100);
      expect(all.instructions.compiled).toBeGreaterThan(RETIRED / 2);
      expect(all.instructions.compiled).toBeLessThanOrEqual(RETIRED);
    },
  );

  it("tell the time in devices from that in generated code", () => {
    const { time, events } = counted(mode, false);
    expect(time).toEqual({ interpreter: CODE_NS, compiler: 0, compiled: 0, devices: DEVICE_NS, other: 0, samples: 1 });
    expect(events.deviceAccesses).toBe(1);
  });

  it("divide time by where the thread was found", () => {
    const { time } = counted(mode, { threshold: 0 });
    expect(time.samples).toBe(1);
    expect(time.interpreter + time.compiled).toBe(CODE_NS);
    expect([time.interpreter, time.compiled]).toContain(0);
  });

  it("name the causes of exits", () => {
    const { exits } = counted(mode, false, 1000);
    const pieces = Math.floor(RETIRED / 1000);
    expect(exits.halted).toBe(1);
    expect(exits.leave).toBe(1);
    // A run may go a few instructions beyond its budget.
    expect(exits.budget).toBeGreaterThan(pieces - 2);
    expect(exits.budget).toBeLessThanOrEqual(pieces);
    expect([exits.fault, exits.step]).toEqual([0, 0]);
  });

  it("tell a wish for attention from a budget that is used up", () => {
    const { cpu } = prepare((options) => new CountingCpu({ ...options, now: () => 0 }), mode, {
      tsc: () => {
        cpu.requestAttention();
        return 1;
      },
    });
    // OUT leaves behind RDTSC; and HLT.
    finish(cpu, 1_000_000);
    expect(cpu.statistics.exits).toMatchObject({ attention: 1, budget: 0, leave: 1 });
  });

  it("count faults, and steps by themselves", () => {
    const { cpu } = prepare((options) => new CountingCpu({ ...options, now: () => 0 }), mode);
    cpu.run(1, true);
    expect(cpu.statistics.exits.step).toBe(1);
    // UD2, without anything that could take the exception.
    cpu.writePhysical(0x1_0000n, Uint8Array.of(0x0f, 0x0b));
    cpu.r.setNumber("rip", 0x1_0000);
    expect(cpu.run(1000)).toBe("shutdown");
    expect(cpu.statistics.exits.fault).toBe(1);
  });
});
