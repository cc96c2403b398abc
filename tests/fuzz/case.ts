/** One fuzz case: a setting and a string from (seed, index), executed and judged. */

import { CODE_KEYS } from "../../src/cpu/code-cache.ts";
import type { CpuModel } from "../../src/cpu/index.ts";
import { Decoded, Decoder } from "../../src/isa/decode.ts";
import { disassemble } from "../../src/isa/disassemble.ts";
import { ROWS } from "../../src/isa/rows.ts";
import { brokenRule } from "./invariants.ts";
import { RAM_SIZE } from "./layout.ts";
import { Noise } from "./ports.ts";
import { Random } from "./random.ts";
import { chooseSetting, MODES, type Setting, writeState, writeTables } from "./setting.ts";
import { KINDS, randomString } from "./strings.ts";
import { alike, difference, type Snapshot, Subject, withCheckedAddresses } from "./subject.ts";

/** A run may go past its budget to the end of a straight run of code, no further. */
const OVERSHOOT = 160;
const MAX_BUDGET = 300;
/** The second budget of a run that comes to an end by itself. */
const AGAIN = 50;
/** Exceptions in a row that a run may have delivered after its last instruction. */
const MAX_FAULTS = MAX_BUDGET + 2;
/** Every so many cases all canaries are looked at. */
const THOROUGH = 1000;

/** How a second run of the same case goes; "once": there is none. */
export const ORACLES = ["once", "steps", "checked steps", "again"] as const;

export interface Verdict {
  readonly instructions: number;
  /** What is wrong, if anything. */
  readonly failure?: string;
}

export interface CaseOptions {
  /** Receives what the case is, and a line for each instruction. */
  readonly log?: (line: string) => void;
  /** Instead of the case's own: for finding where two runs part. */
  readonly budget?: number;
}

export class CpuFuzzer {
  readonly #seed: number;
  readonly #base = new Uint8Array(RAM_SIZE);
  readonly #image = Buffer.alloc(RAM_SIZE);
  readonly #ramAfter = Buffer.alloc(RAM_SIZE);
  readonly #noise = new Noise();
  readonly #subjects = new Map<CpuModel, Subject>();

  constructor(seed: number) {
    this.#seed = seed;
    new Random(seed, -1).fill(this.#base);
  }

  #subject(model: CpuModel): Subject {
    let subject = this.#subjects.get(model);
    if (!subject) this.#subjects.set(model, (subject = new Subject(model, this.#noise)));
    return subject;
  }

  run(index: number, options: CaseOptions = {}): Verdict {
    const { log } = options;
    const random = new Random(this.#seed, index);
    const model: CpuModel = random.once(4) ? "x86-64-v2" : "max";
    const setting = chooseSetting(random, random.pick(MODES));
    const kind = random.pick(KINDS);
    const string = randomString(random, kind, random.once(12) ? random.pick([16, 32, 64] as const) : setting.bits);
    const oracle = random.pick(ORACLES);
    const drawn = 1 + random.below(random.pick([8, 100, 100, MAX_BUDGET]));
    const budget = options.budget ?? drawn;
    const label = `${model} ${setting.mode} CPL ${setting.cpl} ${setting.paging} ${kind} "${oracle}" budget ${budget} at ${setting.at.toString(16)}: ${Buffer.from(string).toString("hex")}`;
    log?.(label);
    const subject = this.#subject(model);
    try {
      const verdict = this.#judge(subject, random, setting, string, {
        oracle,
        budget,
        thorough: index % THOROUGH === 0,
        log,
      });
      return verdict.failure === undefined ? verdict : { ...verdict, failure: `${verdict.failure}\n  ${label}` };
    } catch (error) {
      this.#subjects.delete(model);
      return { instructions: 0, failure: `the host threw ${(error as Error).stack}\n  ${label}` };
    }
  }

  #judge(
    subject: Subject,
    random: Random,
    setting: Setting,
    string: Uint8Array,
    how: { oracle: string; budget: number; thorough: boolean; log: ((line: string) => void) | undefined },
  ): Verdict {
    const image = this.#image;
    image.set(this.#base);
    writeTables(image, random, setting);
    image.set(string, setting.at);
    const { cpu } = subject;
    cpu.reset();
    this.#noise.restart();
    subject.ram.set(image);
    writeState(cpu, random, setting);
    const start = subject.save();
    const before = cpu.instructions;
    const outcome = how.log ? trace(subject, how.budget, how.log) : cpu.run(how.budget);
    const retired = cpu.instructions - before;
    const wrong = this.#wrong(subject, how.thorough);
    if (wrong) return { instructions: retired, failure: wrong };
    if (retired > how.budget + OVERSHOOT) return { instructions: retired, failure: `${retired} instructions retired` };
    if (how.oracle === "once" || (how.oracle === "again" && outcome === "running")) return { instructions: retired };
    const failure = this.#compare(subject, start, retired, how);
    return failure ? { instructions: retired, failure } : { instructions: 2 * retired };
  }

  #wrong(subject: Subject, thorough: boolean): string | undefined {
    const rule = brokenRule(subject.cpu);
    if (rule)
      return `does not hold: ${rule} (RIP ${subject.cpu.r.getBig("rip").toString(16)}, EFLAGS ${subject.cpu.getEflags().toString(16)})`;
    const disturbed = subject.disturbed(thorough);
    return disturbed && `overwritten: ${disturbed}`;
  }

  /** Runs the case a second time another way; both must end alike. */
  #compare(
    subject: Subject,
    start: Snapshot,
    retired: number,
    how: { oracle: string; budget: number },
  ): string | undefined {
    const { cpu } = subject;
    const end = subject.observe();
    this.#ramAfter.set(subject.ram);
    const traced = this.#noise.trace;
    const again = how.oracle === "again";
    if (again) subject.putBack(this.#image);
    else {
      cpu.reset();
      subject.ram.set(this.#image);
    }
    subject.restore(start);
    this.#noise.restart();
    const before = cpu.instructions;
    const differs = (): string | undefined => {
      const now = subject.observe();
      if (!alike(end, now)) return "state";
      if (traced !== this.#noise.trace) return "what devices saw";
      return subject.ram.equals(this.#ramAfter) ? undefined : `RAM at ${firstDifference(subject.ram, this.#ramAfter)}`;
    };
    if (again) {
      // Passes of repeated instructions count, and how many there are depends on where code is: only ends compare.
      cpu.run(AGAIN * how.budget);
      const found = differs();
      return found && `run again: ${difference(end, subject.observe()) ?? found}`;
    }
    return withCheckedAddresses(how.oracle === "checked steps", () => {
      let faults = 0;
      let outcome = "running";
      while (cpu.instructions - before < retired && outcome === "running") {
        const now = cpu.instructions;
        outcome = subject.step();
        faults = cpu.instructions === now ? faults + 1 : 0;
        if (faults > MAX_FAULTS) break;
      }
      // The run may have delivered exceptions after its last instruction.
      // The one nearest to the end of the run, to say what differs.
      let best = subject.observe();
      let found = differs();
      for (let i = 0; found && i < MAX_FAULTS && cpu.instructions - before === retired; i++) {
        subject.step();
        found = differs();
        if (i === 0 && found === "state") best = subject.observe();
      }
      return found && `${how.oracle} (after ${retired}): ${found === "state" ? difference(end, best) : found}`;
    });
  }
}

function firstDifference(a: Uint8Array, b: Uint8Array): string {
  const at = a.findIndex((byte, i) => byte !== b[i]);
  return `${at.toString(16)}: ${a[at]!.toString(16)} / ${b[at]!.toString(16)}`;
}

/** Runs step by step, saying where. */
function trace(subject: Subject, budget: number, log: (line: string) => void): string {
  const { cpu } = subject;
  const { r } = cpu;
  const decoder = new Decoder(ROWS, cpu.features);
  const decoded = new Decoded();
  const before = cpu.instructions;
  let outcome = "running";
  for (let i = 0; i < 2 * budget && cpu.instructions - before < budget && outcome === "running"; i++) {
    const linear = Number(BigInt.asUintN(20, r.getBig("rip") + (r.get("codeBits") === 64 ? 0n : r.getBig("cs.base"))));
    const bytes = new Uint8Array(16);
    bytes.set(subject.ram.subarray(linear, linear + 16));
    const mode = CODE_KEYS[r.get("codeKey")]!;
    const text = decoder.decode(bytes, 0, 16, mode, decoded) === "ok" ? disassemble(decoded, r.getBig("rip")) : "(bad)";
    const hex = Buffer.from(bytes).toString("hex");
    const registers = ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"].map(
      (name) => `${name}=${r.getBig(name).toString(16)}`,
    );
    log(
      `${r.getBig("rip").toString(16)} ${mode.codeBits} ${hex} ${text}  ${registers.join(" ")} eflags=${cpu.getEflags().toString(16)}`,
    );
    outcome = subject.step();
  }
  log(outcome);
  return outcome;
}
