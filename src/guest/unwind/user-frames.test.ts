import { describe, expect, it } from "vitest";
import type { CallFrames } from "./call-frames.ts";
import { Unwinder } from "./unwinder.ts";
import type { UserCode } from "./user-frames.ts";

/** A program at 0x1000, and code without a file at 0x2000. */
const PROGRAM = 0x1000;
const MADE = 0x2000;
const SP = 0x7fff_0000;
/** mov $15, %rax; syscall: what musl and Go return to from a handler. */
const SIGRETURN = [0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05];
const NO_FRAMES = { at: () => undefined } as unknown as CallFrames;

class Stack {
  readonly words = new Map<number, number>();
  put(at: number, ...words: readonly number[]): this {
    words.forEach((word, i) => void this.words.set(at + 8 * i, word));
    return this;
  }
  word(at: number): number {
    return this.words.get(at) ?? Number.NaN;
  }
}

interface Given {
  readonly ip: number;
  readonly rbp?: number;
  /** The program's bytes by offset. */
  readonly bytes?: Readonly<Record<number, readonly number[]>>;
  readonly frames?: boolean;
}

function unwind(stack: Stack, { ip, rbp = Number.NaN, bytes = {}, frames = false }: Given) {
  const text = new Uint8Array(0x1000);
  for (const [offset, code] of Object.entries(bytes)) text.set(code, Number(offset));
  const program: UserCode = {
    frames: frames ? NO_FRAMES : undefined,
    bias: PROGRAM,
    text: { at: (at, length) => (at >= 0 && at + length <= text.length ? text.subarray(at, at + length) : undefined) },
  };
  const made: UserCode = { frames: undefined, bias: 0 };
  const user = (at: number) => (at >= MADE && at < 0x3000 ? made : at >= PROGRAM && at < MADE ? program : undefined);
  const gpr = new Float64Array(16).fill(Number.NaN);
  [gpr[4], gpr[5]] = [SP, rbp];
  const { ips, truncated } = new Unwinder({ user, orc: () => undefined }, stack).unwind({ ip, gpr, user: true });
  return [ips, truncated];
}

/** CALL rel32 in front of an offset. */
const called = (offset: number) => ({ [offset - 5]: [0xe8, 0, 0, 0, 0] });

describe("user code without call frame information", () => {
  it("is followed by frame pointers to where they are zero", () => {
    const stack = new Stack().put(SP + 16, SP + 48, MADE + 0x10).put(SP + 48, 0, PROGRAM + 0x20);
    expect(unwind(stack, { ip: MADE, rbp: SP + 16, bytes: called(0x20) })).toEqual([
      [MADE, MADE + 0x10, PROGRAM + 0x20],
      undefined,
    ]);
  });
  it("is followed to what calls alone, where its bytes are known", () => {
    const stack = new Stack().put(SP + 16, 0, PROGRAM + 0x20);
    expect(unwind(stack, { ip: MADE, rbp: SP + 16 })).toEqual([[MADE], "unknown-code"]);
    // CALL r/m64 with a register, with displacements of 8 and 32 bits, with a SIB byte, relative to RIP.
    for (const code of [
      [0xff, 0xd0],
      [0x41, 0xff, 0xd7],
      [0xff, 0x50, 8],
      [0xff, 0x93, 0, 1, 0, 0],
      [0xff, 0x14, 0xc8],
      [0xff, 0x54, 0x24, 8],
      [0xff, 0x94, 0x24, 0, 1, 0, 0],
      [0xff, 0x14, 0x25, 0, 1, 0, 0],
      [0xff, 0x15, 0, 1, 0, 0],
    ]) {
      const bytes = { [0x20 - code.length]: code };
      expect(unwind(stack, { ip: MADE, rbp: SP + 16, bytes })[1], `${code}`).toBeUndefined();
    }
    // JMP, and PUSH.
    for (const code of [
      [0xff, 0xe0],
      [0xff, 0x35, 0, 1, 0, 0],
    ]) {
      const bytes = { [0x20 - code.length]: code };
      expect(unwind(stack, { ip: MADE, rbp: SP + 16, bytes })[1], `${code}`).toBe("unknown-code");
    }
  });
  it("has frames that lie further up the stack", () => {
    const caller = (at: number) => new Stack().put(at, at, MADE + 0x10);
    for (const rbp of [SP - 16, SP + 4, SP + 2 ** 24, 0]) {
      expect(unwind(caller(rbp), { ip: MADE, rbp }), String(rbp)).toEqual([[MADE], "unknown-code"]);
    }
    // A frame that is its own caller's.
    expect(unwind(caller(SP + 16), { ip: MADE, rbp: SP + 16 })).toEqual([[MADE, MADE + 0x10], "unknown-code"]);
    expect(unwind(new Stack(), { ip: MADE, rbp: SP + 16 })).toEqual([[MADE], "unreadable"]);
  });
  it("is a stub, where its file says of other code how it is called", () => {
    const stack = new Stack().put(SP, PROGRAM + 0x20).put(SP + 16, 0, PROGRAM + 0x40);
    const given = { ip: PROGRAM + 0x100, rbp: SP + 16, bytes: { ...called(0x20), ...called(0x40) } };
    expect(unwind(stack, { ...given, frames: true })[0]).toEqual([PROGRAM + 0x100, PROGRAM + 0x20, PROGRAM + 0x40]);
    expect(unwind(stack, { ...given, frames: false })[0]).toEqual([PROGRAM + 0x100, PROGRAM + 0x40]);
  });

  it("goes on where a signal interrupted it", () => {
    // A handler with a frame pointer; its caller is the kernel, which has left a struct ucontext.
    const context = SP + 32;
    const interrupted = PROGRAM + 0x333;
    const registers = [
      ...Array.from({ length: 10 }, (_, i) => 500 + i),
      SP + 0x1000,
      1,
      2,
      3,
      4,
      SP + 0xf00,
      interrupted,
    ];
    const stack = new Stack()
      .put(SP + 16, 0, PROGRAM + 0x80)
      .put(context + 40, ...registers)
      .put(SP + 0x1000, 0, PROGRAM + 0x20);
    expect(unwind(stack, { ip: MADE, rbp: SP + 16, bytes: { ...called(0x20), 128: SIGRETURN } })).toEqual([
      [MADE, PROGRAM + 0x80, interrupted, PROGRAM + 0x20],
      undefined,
    ]);
  });
});

describe("user code behind a system call", () => {
  it("is looked up at the call, which may be the last of its function", () => {
    const asked: number[] = [];
    const frames = { at: (at: number) => void asked.push(at) } as unknown as CallFrames;
    const text = Uint8Array.from([...SIGRETURN, 0x90, 0x90]);
    const code: UserCode = {
      frames,
      bias: PROGRAM,
      text: {
        at: (at, length) => (at >= 0 && at + length <= text.length ? text.subarray(at, at + length) : undefined),
      },
    };
    const entry = -(2 ** 31) + 0x100_0000;
    const orc = { type: "regs", spBase: "sp", spOffset: 0, bpBase: "undefined", bpOffset: 0, signal: true } as const;
    for (const [ip, place] of [
      [PROGRAM + 9, 8],
      [PROGRAM + 10, 10],
    ] as const) {
      const stack = new Stack().put(-0x1000 + 128, ip, 0x33, 0x202, SP, 0x2b);
      const gpr = new Float64Array(16);
      gpr[4] = -0x1000;
      const chain = new Unwinder({ user: () => code, orc: () => orc }, stack).unwind({ ip: entry, gpr, user: false });
      expect([chain.ips, asked.splice(0)[0]]).toEqual([[entry, ip], place]);
    }
  });
});
