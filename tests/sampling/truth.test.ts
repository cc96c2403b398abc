/**
 * Samples against the truth. The interpreter executes a program from jump to jump and counts what each function executes;
 * the same program, compiled, is sampled, and what samples say has to be what was counted. Its functions are the hard cases: loops within loops,
 * long ways without a jump, functions of two instructions, repeated strings, branches by chance.
 */
import { describe, expect, it } from "vitest";
import { type SamplingPorts, TICK } from "../../src/cpu/sampling.ts";
import { type Assembler, CC, RAX, RBX, RCX, RDI } from "../lockstep/assembler.ts";
import { ENGINES, type Engine } from "../lockstep/engine-list.ts";
import { HotGuest } from "../lockstep/machine.ts";
import { CODE, DATA, imm } from "../system/guest.ts";

const ROUNDS = 100_000;
const SAMPLES = 20_000;
/** Most that a share may be wrong, of all: what the issue of 20,000 samples is held to. */
const TOLERANCE = 0.01;

/** inc rax */
const INC = [0x48, 0xff, 0xc0];
const RET = 0xc3;
const PUSH_RCX = 0x51;
const POP_RCX = 0x59;
/** rbx = rbx * 1103515245 + 12345; test ebx, 1 << 16 */
const CHANCE = [0x48, 0x69, 0xdb, imm(1_103_515_245), 0x48, 0x81, 0xc3, imm(12_345), 0xf7, 0xc3, imm(1 << 16)];

const many = (count: number, code: number[]) => Array.from({ length: count }, () => code);

/** Names of the functions in the order they lie in; each begins at the label of its name. */
const FUNCTIONS = ["main", "tight", "straight", "nested", "strings", "tiny", "wide", "random", "end"] as const;

function program(a: Assembler): void {
  const loop = (count: number, label: string, body: () => void) => {
    a.db(PUSH_RCX).mov(RCX, count).label(label);
    body();
    a.again(label).db(POP_RCX);
  };
  a.label("main").mov(RCX, ROUNDS).mov(RBX, 1).mov(RAX, 0).label("round");
  for (const name of ["tight", "straight", "nested", "strings", "wide", "random"]) a.call(name);
  // Calls of two instructions each.
  loop(20, "tinies", () => a.call("tiny"));
  a.again("round").hlt();
  a.label("tight");
  loop(200, "tight-loop", () => a.db(INC));
  a.db(RET);
  a.label("straight").db(...many(300, INC), RET);
  a.label("nested");
  loop(8, "outer", () => {
    a.db(...many(30, INC));
    loop(12, "inner", () => a.db(...many(4, INC)));
    a.db(...many(20, INC));
  });
  a.db(RET);
  a.label("strings").db(PUSH_RCX).mov(RCX, 100).mov(RDI, DATA).db(0xf3, 0xaa, POP_RCX, RET);
  a.label("tiny").db(INC, RET);
  a.label("wide");
  loop(2, "wide-loop", () => a.db(...many(400, INC)));
  a.db(RET);
  a.label("random");
  loop(60, "chances", () => {
    a.db(...CHANCE).jcc(CC.nz, "skip");
    a.db(...many(7, INC))
      .label("skip")
      .db(INC);
  });
  a.db(RET).label("end");
}

class Shares {
  readonly #starts: number[];
  readonly counts = FUNCTIONS.map(() => 0);
  total = 0;

  constructor(a: Assembler) {
    this.#starts = FUNCTIONS.map((name) => a.at(name));
  }
  add(rip: number, weight = 1): void {
    let at = this.#starts.length - 1;
    while (at > 0 && this.#starts[at]! > rip) at--;
    this.counts[at]! += weight;
    this.total += weight;
  }
  of(name: (typeof FUNCTIONS)[number]): number {
    return this.counts[FUNCTIONS.indexOf(name)]! / this.total;
  }
}

/** A run of the program on an engine, from its beginning. */
function start(engine: Engine): { guest: HotGuest; shares: Shares } {
  const guest = new HotGuest({ engine });
  // What is retired follows from the program alone.
  guest.set("elementwise", 1);
  return { guest, shares: new Shares(guest.assemble(program)) };
}

function truth(): { shares: Shares; instructions: number } {
  const { guest, shares } = start(ENGINES["interpreter"]!);
  const { cpu } = guest;
  const { r } = cpu;
  const rip = r.address("rip") >> 2;
  const words = new Int32Array(cpu.ram.buffer);
  for (;;) {
    const at = words[rip]!;
    const before = cpu.instructions;
    // To the next jump, all in one function.
    const outcome = cpu.run(1);
    shares.add(at, cpu.instructions - before);
    if (outcome === "halted") return { shares, instructions: cpu.instructions };
  }
}

/** Numbers as by chance, the same in every run. */
function chances(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

const known = truth();

/** Asserts that samples say of every function what was counted. */
function compare(shares: Shares): void {
  for (const name of FUNCTIONS) {
    const share = known.shares.of(name);
    if (share > 0.01) expect(Math.abs(shares.of(name) - share), `${name}: ${share}`).toBeLessThan(TOLERANCE);
  }
}

describe.each(["interpreter", "templates", "forced", "tiers", "late"])("samples of the engine %s", (name) => {
  const { jit, late } = ENGINES[name]!;
  const engine: Engine = { jit, ...(late === undefined ? {} : { late }) };

  const sampled = (ports: Pick<SamplingPorts, "period" | "tick">, run: (guest: HotGuest) => boolean) => {
    const { guest, shares } = start(engine);
    const { cpu } = guest;
    cpu.sample({ ...ports, random: chances(7), take: () => shares.add(Number(cpu.r.getBig("rip"))) });
    while (run(guest));
    expect(cpu.instructions).toBe(known.instructions);
    return shares;
  };

  it("are where instructions are executed, one in so many", () => {
    const period = known.instructions / SAMPLES;
    const shares = sampled({ period, tick: () => TICK.none }, ({ cpu }) => cpu.run(100_000) === "running");
    expect(shares.total).toBeGreaterThan(SAMPLES * 0.98);
    expect(shares.total).toBeLessThan(SAMPLES * 1.02);
    compare(shares);
  });

  it("are where instructions are executed when a clock ticks", () => {
    const period = known.instructions / SAMPLES;
    const random = chances(11);
    let tick: number = TICK.none;
    const ticked = () => {
      const now = tick;
      tick = TICK.none;
      return now;
    };
    const shares = sampled({ period: 0, tick: ticked }, ({ cpu }) => {
      // Stops as at a request for attention: as soon as compiled code can.
      const outcome = cpu.run(1 + Math.floor(random() * 2 * period));
      tick = TICK.guest;
      return outcome === "running";
    });
    compare(shares);
  });
});

it("the program is what it says", () => {
  expect(known.shares.of("end")).toBe(0);
  expect(known.shares.total).toBe(known.instructions);
  expect(CODE).toBeLessThan(DATA);
});
