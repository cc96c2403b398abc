/**
 * What is turned off is not in generated code: the modules that the compiler writes are compared byte by byte, and looked through for
 * what only counting code does.
 */
import { describe, expect, it } from "vitest";
import wabt from "wabt";
import { CountingCpu, Cpu, type CpuOptions, generateInterpreter, LockstepCpu } from "../../src/cpu/index.ts";
import { COUNTERS } from "../../src/cpu/memory-map.ts";
import type { CodeObserver } from "../../src/cpu/runtime/define.ts";
import { TICK } from "../../src/cpu/sampling.ts";
import { countingObserver } from "../../src/cpu/statistics/observer.ts";
import { finish, type Mode, prepare } from "./guest.ts";

const nothing = (): void => undefined;
/** Called wherever an observer is, and writes nothing. */
const silent: CodeObserver = {
  access: nothing,
  miss: nothing,
  regionEntered: nothing,
  regionLeft: nothing,
};

/** Modules that are compiled while something happens. */
function modulesOf(work: () => void): Uint8Array[] {
  const original = WebAssembly.Module;
  const made: Uint8Array[] = [];
  const Recording = new Proxy(original, {
    construct: (target, [bytes]: [Uint8Array<ArrayBuffer>]) => {
      made.push(bytes.slice());
      return new target(bytes);
    },
  });
  Object.assign(WebAssembly, { Module: Recording });
  try {
    work();
  } finally {
    Object.assign(WebAssembly, { Module: original });
  }
  return made;
}

const JIT = { threshold: 20, templates: 5 };

/** Compiled code of the program, on a vCPU that `make` makes and `before` has done something with. */
function emitted(mode: Mode, make: (options: CpuOptions) => Cpu, before: (cpu: Cpu) => void = nothing): string[] {
  const { cpu } = prepare(make, mode);
  before(cpu);
  const modules = modulesOf(() => finish(cpu));
  return modules.map((bytes) => Buffer.from(bytes).toString("hex"));
}

/** What modules need, to wabt. */
const FEATURES = { readDebugNames: false, threads: true, tail_call: true, simd: true, bulk_memory: true };

/** Addresses of counters that a module loads from or stores to. */
async function countersIn(bytes: Uint8Array): Promise<Set<number>> {
  const tool = await wabt();
  const module = tool.readWasm(bytes, FEATURES);
  try {
    const offsets = [...module.toText({}).matchAll(/offset=(\d+)/g)].map(([, offset]) => Number(offset));
    return new Set(offsets.filter((at) => at >= COUNTERS.accesses && at < COUNTERS.size));
  } finally {
    module.destroy();
  }
}

/** Not a part of a larger buffer, which wabt would read from its start. */
const bytesOf = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, "hex"));

describe.each(["flat32", "long64"] as const)("compiled guest code (%s)", (mode) => {
  const plain = emitted(mode, (options) => new Cpu({ ...options, jit: JIT }));

  it("is there to be compared", () => {
    expect(plain.length).toBeGreaterThan(0);
    for (const module of plain) expect(WebAssembly.validate(bytesOf(module).slice())).toBe(true);
  });

  it("is the same after a vCPU that counts has run in this process", () => {
    const counting = emitted(mode, (options) => new CountingCpu({ ...options, jit: JIT, now: () => 0 }));
    expect(counting).toHaveLength(plain.length);
    expect(counting).not.toEqual(plain);
    expect(emitted(mode, (options) => new Cpu({ ...options, jit: JIT }))).toEqual(plain);
  });

  it("is the same in lockstep", () => {
    expect(emitted(mode, (options) => new LockstepCpu({ ...options, jit: JIT, slice: 1000 }))).toEqual(plain);
  });

  it("is the same after single steps", () => {
    const stepped = emitted(
      mode,
      (options) => new Cpu({ ...options, jit: JIT }),
      (cpu) => {
        for (let i = 0; i < 3; i++) cpu.run(1, true);
      },
    );
    expect(stepped).toEqual(plain);
  });

  it("is the same on a vCPU that was sampled and whose work was watched, before and all the time", () => {
    const ports = { period: 1e9, random: () => 0.5, tick: () => TICK.none, take: nothing };
    const watched = (until: (cpu: Cpu) => void) =>
      emitted(
        mode,
        (options) => new Cpu({ ...options, jit: JIT }),
        (cpu) => {
          cpu.sample(ports);
          cpu.watchWork({ begin: nothing, end: nothing });
          until(cpu);
        },
      );
    expect(watched(nothing)).toEqual(plain);
    const before = watched((cpu) => {
      cpu.run(1);
      cpu.sample(undefined);
      cpu.watchWork(undefined);
    });
    expect(before).toEqual(plain);
  });

  it("touches counters where they are asked for, and nowhere else", async () => {
    const counting = emitted(mode, (options) => new CountingCpu({ ...options, jit: JIT, now: () => 0 }));
    // An access that misses the TLB leaves for the interpreter, which counts it.
    const { accesses, compiledInstructions, regionsEntered, where } = COUNTERS;
    const found = new Set<number>();
    for (const module of counting) for (const at of await countersIn(bytesOf(module))) found.add(at);
    for (const counter of [accesses, compiledInstructions, regionsEntered, where]) expect(found).toContain(counter);
    for (const module of plain) expect(await countersIn(bytesOf(module))).toEqual(new Set());
  });
});

describe.each(["interpreter", "avx"] as const)("the generated interpreter (%s)", (part) => {
  const plain = Buffer.from(generateInterpreter(part));

  it("has nothing where an observer may write", () => {
    expect(plain.equals(generateInterpreter(part, silent))).toBe(true);
  });
  it("counts where it is to", () => {
    expect(generateInterpreter(part, countingObserver).length).toBeGreaterThan(plain.length);
  });
});
