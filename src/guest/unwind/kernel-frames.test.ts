import { describe, expect, it } from "vitest";
import type { OrcEntry } from "./orc.ts";
import { MAX_FRAMES, type StartRegisters, Unwinder } from "./unwinder.ts";
import type { StackWords } from "./words.ts";

/** Code of a kernel: functions `f` at CODE + 0x100 * n. */
const CODE = -(2 ** 31) + 0x100_0000;
const code = (n: number): number => CODE + 0x100 * n;
/** A task's stack, and one for interrupts. */
const TASK = -(2 ** 45) + 0x4000;
const IRQ = -(2 ** 44) + 0x4000;
const USER_IP = 0x55_5555_5000;
const USER_SP = 0x7fff_0000_1000;
const [USER_CS, USER_SS, KERNEL_CS] = [0x33, 0x2b, 0x10];

const call = (spOffset: number, more: Partial<OrcEntry> = {}): OrcEntry => ({
  type: "call",
  spBase: "sp",
  spOffset,
  bpBase: "undefined",
  bpOffset: 0,
  signal: false,
  ...more,
});
const regs = (more: Partial<OrcEntry> = {}): OrcEntry => call(0, { type: "regs", signal: true, ...more });
const END = call(0, { type: "end", spBase: "undefined" });

class Memory implements StackWords {
  readonly words = new Map<number, number>();
  word(at: number): number {
    return this.words.get(at) ?? Number.NaN;
  }
  put(at: number, ...words: readonly number[]): this {
    words.forEach((word, i) => void this.words.set(at + 8 * i, word));
    return this;
  }
  /** struct pt_regs: registers are 100 and on, in the order they are pushed. */
  regs(at: number, ip: number, cs: number, sp: number, ss = 0): this {
    return this.put(at, ...Array.from({ length: 16 }, (_, i) => 100 + i), ip, cs, 0x202, sp, ss);
  }
}

function unwind(
  memory: StackWords,
  entries: Readonly<Record<number, OrcEntry>>,
  start: Partial<Record<"ip" | "rsp" | "rbp" | "rcx" | "rdi", number>> & { called?: boolean },
) {
  const gpr = new Float64Array(16).fill(Number.NaN);
  const { ip = code(0) + 16, rsp = TASK - 0x1000, rbp, rcx, rdi, called } = start;
  [gpr[4], gpr[5], gpr[1], gpr[7]] = [rsp, rbp ?? Number.NaN, rcx ?? Number.NaN, rdi ?? Number.NaN];
  const from: StartRegisters = { ip, gpr, user: false, ...(called === undefined ? {} : { called }) };
  const context = { orc: (at: number) => entries[Math.floor((at - CODE) / 0x100)], user: () => undefined };
  const chain = new Unwinder(context, memory).unwind(from);
  return {
    ...chain,
    names: chain.ips.map((at) => (at >= 0 ? "user" : `f${Math.floor((at - CODE) / 0x100)}`)).join(" "),
  };
}

const sp = TASK - 0x1000;

describe("frames by ORC", () => {
  it("end at the registers of user code", () => {
    const memory = new Memory()
      .put(sp + 8, code(1) + 5)
      .put(sp + 0x28, code(2) + 5)
      .regs(sp + 0x30, USER_IP, USER_CS, USER_SP, USER_SS);
    const chain = unwind(memory, { 0: call(16), 1: call(32), 2: regs() }, {});
    expect(chain).toMatchObject({ names: "f0 f1 f2 user", kernel: 3, truncated: "unknown-code" });
    expect(chain.places).toEqual([code(0) + 16, code(1) + 4, code(2) + 4, USER_IP]);
  });
  it("look at the call of a function that does not return, not behind it", () => {
    const memory = new Memory().put(sp, code(2)).put(sp + 24, 0);
    const { ips, truncated } = unwind(memory, { 0: call(8), 1: call(24), 2: call(4096) }, {});
    expect([ips, truncated]).toEqual([[code(0) + 16, code(2)], undefined]);
  });
  it("go on in the interrupted code, and from the interrupts' stack to the task's", () => {
    const memory = new Memory()
      // On the IRQ stack, whose last word is the pointer back.
      .put(IRQ - 24, code(1) + 5, TASK - 0x800)
      .put(TASK - 0x808, 7)
      .put(TASK - 0x800, 0)
      .put(TASK - 0x7f8, code(2) + 5)
      .regs(TASK - 0x7f0, code(3), KERNEL_CS, TASK - 0x700)
      .put(TASK - 0x700, code(4) + 5)
      .put(TASK - 0x6f8, 0);
    const entries = {
      0: call(8),
      1: call(16, { spBase: "sp-indirect" }),
      2: regs(),
      3: call(8),
      4: call(8),
    };
    const chain = unwind(memory, entries, { rsp: IRQ - 24 });
    expect(chain).toMatchObject({ names: "f0 f1 f2 f3 f4" });
    expect(chain.places[3]).toBe(code(3));
    expect(chain.truncated).toBeUndefined();
  });
  it("take RBP from where it was saved", () => {
    const memory = new Memory()
      .put(sp, sp + 64, code(1) + 5)
      .put(sp + 72, code(2) + 5)
      .put(sp + 88, 0);
    const entries = {
      0: call(16, { bpBase: "previous-sp", bpOffset: -16 }),
      1: call(16, { spBase: "bp" }),
      2: call(16),
    };
    expect(unwind(memory, entries, { rbp: 1 }).names).toBe("f0 f1 f2");
  });
  it("do not believe that registers survive a call", () => {
    const memory = new Memory().put(sp, code(1) + 5).put(sp + 32, code(2) + 5);
    const entries = { 0: call(8), 1: call(0, { spBase: "di" }), 2: END };
    expect(unwind(memory, entries, { rdi: sp + 40 })).toMatchObject({ names: "f0 f1", truncated: "unreadable" });
    expect(unwind(memory, { 0: entries[1], 2: END }, { rdi: sp + 40 })).toMatchObject({ names: "f0 f2" });
  });
  it("end where a thread begins", () => {
    expect(unwind(new Memory().put(sp, code(1) + 5), { 0: call(8), 1: END }, {}).truncated).toBeUndefined();
    expect(unwind(new Memory().put(sp, 0), { 0: call(8) }, {}).truncated).toBeUndefined();
  });
  it("go as far as the words are known", () => {
    expect(unwind(new Memory(), { 0: call(8) }, {})).toMatchObject({ names: "f0", truncated: "unreadable" });
    expect(unwind(new Memory().put(sp, USER_IP), { 0: call(8) }, {}).truncated).toBe("unknown-code");
  });
});

describe("stacks that lead nowhere", () => {
  it("do not go round", () => {
    const loops = new Memory().put(sp - 8, code(0) + 16);
    expect(unwind(loops, { 0: call(0) }, {})).toMatchObject({ names: "f0", truncated: "no-progress" });
    const back = new Memory().put(sp, sp).put(sp - 8, code(0) + 16);
    expect(unwind(back, { 0: call(0, { spBase: "sp-indirect" }) }, {})).toMatchObject({ truncated: "no-progress" });
    const self = new Memory().regs(sp, code(0), KERNEL_CS, sp);
    expect(unwind(self, { 0: regs() }, {})).toMatchObject({ names: "f0", truncated: "no-progress" });
  });
  it("do not lead from stack to stack for ever", () => {
    const memory = new Memory();
    for (let i = 0; i < 1000; i++) memory.regs(sp - i * 0x10_0000, code(0), KERNEL_CS, sp - (i + 1) * 0x10_0000);
    const chain = unwind(memory, { 0: regs() }, {});
    expect(chain.truncated).toBe("no-progress");
    expect(chain.ips.length).toBeLessThan(40);
  });
  it("have a longest chain", () => {
    const memory = new Memory();
    for (let i = 0; i < 2000; i++) memory.put(sp + 8 * i, code(0) + 16);
    expect(unwind(memory, { 0: call(8) }, {})).toMatchObject({ truncated: "depth", ips: { length: MAX_FRAMES } });
  });
});

describe("frames by frame pointers", () => {
  it("lead through code that nothing is said of", () => {
    const memory = new Memory().put(sp + 8, 0, code(1) + 5).put(sp + 24, 0);
    expect(unwind(memory, { 1: call(8) }, { rbp: sp + 8 }).names).toBe("f0 f1");
  });
  it("lead through a whole kernel to what a system call saved", () => {
    // do_syscall_64 has pushed the cleared RBP right below the registers.
    const memory = new Memory()
      .put(sp + 16, sp + 48, code(1) + 5)
      .put(sp + 48, 0, code(2) + 5)
      .regs(sp + 64, USER_IP, USER_CS, USER_SP, USER_SS);
    const chain = unwind(memory, {}, { rbp: sp + 16 });
    expect(chain).toMatchObject({ names: "f0 f1 f2 user", kernel: 3 });
  });
  it("lead to registers that an interrupt saved", () => {
    const memory = new Memory().put(sp + 16, sp + 49, code(1) + 5).regs(sp + 48, code(3), KERNEL_CS, sp + 0x400);
    memory.put(sp + 48 + 32, 0);
    expect(unwind(memory, {}, { rbp: sp + 16 })).toMatchObject({ names: "f0 f1 f3", truncated: "unknown-code" });
    // Those of a kernel thread's first frame are all zero.
    const thread = new Memory().put(sp + 16, sp + 49, code(1) + 5).put(sp + 48, ...Array.from({ length: 21 }, () => 0));
    expect(unwind(thread, {}, { rbp: sp + 16 }).truncated).toBeUndefined();
  });
  it("have to be frames", () => {
    for (const rbp of [sp - 8, sp + 4, sp + 0x10_0000, 0, Number.NaN, USER_SP]) {
      expect(unwind(new Memory().put(sp + 4, 0, code(1)), {}, { rbp }).truncated, String(rbp)).toBe("unknown-code");
    }
    const data = new Memory().put(sp + 8, 0, -(2 ** 40));
    expect(unwind(data, {}, { rbp: sp + 8 })).toMatchObject({ names: "f0", truncated: "unknown-code" });
  });
});

describe("entry code", () => {
  const saved = TASK - 168;
  const entered = (pushed: number, memory = new Memory(), more = {}) =>
    unwind(memory, { 0: END }, { rsp: TASK - 8 * pushed, rcx: USER_IP, ...more });
  it("leads to the user's code at each of its pushes", () => {
    expect(unwind(new Memory(), { 0: END }, { rsp: USER_SP, rcx: USER_IP }).names).toBe("f0 user");
    const frame = [USER_IP, USER_CS, 0x202, USER_SP, USER_SS];
    for (let pushed = 0; pushed < 21; pushed++) {
      const memory = new Memory();
      for (let i = 1; i <= Math.min(5, pushed); i++) memory.put(TASK - 8 * i, frame[5 - i]!);
      expect(entered(pushed, memory).names, `${pushed} pushed`).toBe("f0 user");
      // With two words on top that kernels for FRED leave free.
      const padded = new Memory();
      for (let i = 1; i <= Math.min(5, pushed); i++) padded.put(TASK - 16 - 8 * i, frame[5 - i]!);
      if (pushed > 0) expect(entered(pushed + 2, padded).names, `${pushed} pushed`).toBe("f0 user");
    }
  });
  it("leads back to it, on another stack", () => {
    const memory = new Memory().regs(saved, USER_IP, USER_CS, USER_SP, USER_SS).put(IRQ - 16, 1, USER_SP);
    const rdi = saved + 112;
    for (const rsp of [IRQ, IRQ - 8, IRQ - 16])
      expect(unwind(memory, { 0: END }, { rsp, rdi, rcx: 1 }).ips).toEqual([code(0) + 16, USER_IP]);
    expect(unwind(memory, { 0: END }, { rsp: IRQ - 8, rdi: 5, rcx: USER_IP }).ips).toEqual([code(0) + 16, USER_IP]);
  });
  it("leads to what a new thread begins with, and of a kernel thread nowhere", () => {
    const memory = new Memory().regs(saved, USER_IP, USER_CS, USER_SP, USER_SS);
    expect(unwind(memory, { 0: END }, { rsp: saved, called: true }).names).toBe("f0 user");
    const thread = unwind(
      new Memory().put(saved, ...Array.from({ length: 21 }, () => 0)),
      { 0: END },
      { rsp: saved, called: true },
    );
    expect([thread.names, thread.truncated]).toEqual(["f0", undefined]);
  });
  it("leads out of where ORC is wrong", () => {
    const memory = new Memory().regs(saved, USER_IP, USER_CS, USER_SP, USER_SS);
    expect(unwind(memory, { 0: call(8, { type: "partial", signal: true }) }, { rsp: saved }).names).toBe("f0 user");
  });
});

it("code of 32 bits is named and no further looked into", () => {
  const chain = unwind(new Memory().regs(sp, 0x0804_8000, 0x23, 0xffff_0000, USER_SS), { 0: regs() }, {});
  expect(chain).toMatchObject({ names: "f0 user", truncated: "unknown-code" });
});
