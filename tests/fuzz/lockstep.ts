/**
 * Random loops, compiled and interpreted side by side: a few random rows or a whole random string as the body, run until a counter in
 * memory is used up, or something in it goes another way; interrupts come in between.
 */
import { LockstepCpu, memoryPages } from "../../src/cpu/index.ts";
import type { CaseOptions, Verdict } from "./case.ts";
import { brokenRule } from "./invariants.ts";
import { DATA, RAM_SIZE } from "./layout.ts";
import { Noise } from "./ports.ts";
import { Random } from "./random.ts";
import { little } from "./rows.ts";
import { chooseSetting, type Mode, type Setting, writeState, writeTables } from "./setting.ts";
import { randomString } from "./strings.ts";

const MODES: readonly Mode[] = [
  "long64",
  "long64",
  "long64",
  "flat32",
  "flat32",
  "compatibility",
  "odd32",
  "protected16",
];
const KINDS = ["rows", "rows", "rows", "mixed", "self-modifying", "system", "mutated"] as const;
/** Where the loop counts, among the data. */
const COUNTER = DATA + 0x8008;
const MOST_PASSES = 40;
/** Runs of a case, and the instructions of each. */
const RUNS = 3;
const BUDGETS = [20, 200, 1000] as const;
/** Regions of all, or templates of all, or both. */
const TIERS = [
  { threshold: 0 },
  { threshold: 0 },
  { threshold: 2 },
  { threshold: 1 << 30, templates: 0 },
  { threshold: 1 << 30, templates: 0 },
  { threshold: 4, templates: 1 },
] as const;
const SLICES = [1, 1, 30, 300] as const;
/** What V8 holds of compiled code goes with the vCPU: one serves so many cases. */
const LIFE = 200;

class Interrupting extends Noise {
  vector = -1;

  constructor() {
    super();
    const { apic } = this;
    apic.pending = () => this.vector;
    apic.acknowledge = () => {
      const { vector } = this;
      this.vector = -1;
      return vector;
    };
  }
}

export class LockstepFuzzer {
  readonly #seed: number;
  readonly #base = new Uint8Array(RAM_SIZE);
  readonly #image = new Uint8Array(RAM_SIZE);
  readonly #ports = new Interrupting();
  #cpu: LockstepCpu | undefined;
  #generation = -1;

  constructor(seed: number) {
    this.#seed = seed;
    new Random(seed, -3).fill(this.#base);
  }

  run(index: number, { log }: CaseOptions = {}): Verdict {
    const random = new Random(this.#seed, index);
    const setting = chooseSetting(random, random.pick(MODES));
    const code = this.#loop(random, setting);
    const label = `lockstep ${setting.mode} CPL ${setting.cpl} ${setting.paging} at ${setting.at.toString(16)}: ${Buffer.from(code).toString("hex")}`;
    log?.(label);
    try {
      return this.#one(this.#cpuFor(index), random, setting, code);
    } catch (error) {
      this.#cpu = undefined;
      return { instructions: 0, failure: `${(error as Error).message}\n  ${label}` };
    }
  }

  #cpuFor(index: number): LockstepCpu {
    const generation = Math.floor(index / LIFE);
    if (this.#cpu && generation === this.#generation) return this.#cpu;
    this.#generation = generation;
    const random = new Random(this.#seed, -4 - generation);
    const pages = memoryPages(RAM_SIZE);
    this.#cpu = new LockstepCpu({
      memory: new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }),
      ramSize: RAM_SIZE,
      model: random.once(4) ? "x86-64-v2" : "max",
      ports: this.#ports,
      id: 0,
      jit: random.pick(TIERS),
      slice: random.pick(SLICES),
    });
    return this.#cpu;
  }

  /** The body, DEC of the counter, JNZ back, HLT. In 16-bit code, which is not compiled, the string alone. */
  #loop(random: Random, { bits }: Setting): Uint8Array {
    const kind = random.pick(KINDS);
    const whole = randomString(random, kind, bits);
    if (bits === 16) return whole;
    // A short body comes round more often.
    const body = kind === "rows" && random.once(2) ? whole.subarray(0, 4 + random.below(24)) : whole;
    const out = [...body, 0xff];
    if (bits === 64) out.push(0x0c, 0x25);
    else out.push(0x0d);
    little(COUNTER, 4, out);
    out.push(0x0f, 0x85);
    little(-(out.length + 4), 4, out);
    return Uint8Array.from([...out, 0xf4]);
  }

  #one(cpu: LockstepCpu, random: Random, setting: Setting, code: Uint8Array): Verdict {
    const image = this.#image;
    image.set(this.#base);
    writeTables(image, random, setting);
    image.set(code, setting.at);
    new DataView(image.buffer).setUint32(COUNTER, 1 + random.below(MOST_PASSES), true);
    cpu.reset();
    this.#ports.restart();
    this.#ports.vector = -1;
    cpu.ram.set(image);
    writeState(cpu, random, setting);
    // The other vCPU begins anew with this.
    cpu.restore(cpu.save());
    const before = cpu.instructions;
    for (let i = 0; i < RUNS; i++) {
      if (random.once(3)) {
        this.#ports.vector = 32 + random.below(224);
        cpu.requestAttention();
      }
      const outcome = cpu.run(1 + random.below(random.pick(BUDGETS)));
      const rule = brokenRule(cpu);
      if (rule) return { instructions: cpu.instructions - before, failure: `does not hold: ${rule}` };
      if (outcome === "shutdown" || (outcome === "halted" && i > 0)) break;
    }
    return { instructions: 2 * (cpu.instructions - before) };
  }
}
