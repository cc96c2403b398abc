/**
 * From a vCPU's registers and the words of its stacks to the chain of calls: through the kernel by ORC, from there into the user's code, through
 * that by call frame information, and where a function has none by frame pointers. Neither of the guest nor of its tables is anything
 * believed: a chain has a longest length, and what does not fit ends it.
 */

import { type CallFrames, type FrameRow, RULE } from "./call-frames.ts";
import { BadTable } from "./cursor.ts";
import { evaluate } from "./expression.ts";
import type { OrcBase, OrcEntry } from "./orc.ts";
import { DWARF, DWARF_OF_GPR, DWARF_REGISTERS, type StackWords } from "./words.ts";

/** Frames of a chain. Stops stacks that lead back into themselves; deep recursions lose their outermost calls. */
export const MAX_FRAMES = 512;
/** Farthest that a frame pointer may point beyond the stack pointer: larger frames are no frames. */
const MAX_FRAME = 1 << 23;

/** What is known of code at an address. */
export interface UnwindContext {
  /** Of kernel code. */
  orc(ip: number): OrcEntry | undefined;
  /** Of user code: its call frame information, and what its addresses are ahead of the file's. */
  user(ip: number): { readonly frames: CallFrames | undefined; readonly bias: number } | undefined;
}

/** A vCPU or task at rest. */
export interface StartRegisters {
  readonly ip: number;
  /** In the order of instructions (GPR_NAMES); NaN where one is not known. */
  readonly gpr: ArrayLike<number>;
  readonly user: boolean;
  /** The instruction at `ip` called and waits: a task that sleeps. */
  readonly called?: boolean;
}

/** Why a chain ends before its thread's start. */
export type Truncated = "depth" | "unreadable" | "unknown-code";

export interface Chain {
  /** Innermost first: addresses of instructions, return addresses but for the first and where something was interrupted. */
  readonly ips: number[];
  /** The same as addresses inside the instructions that are meant: one less where it is a return address. */
  readonly places: number[];
  /** How many of the first are the kernel's. */
  kernel: number;
  truncated?: Truncated;
}

/** Offsets in struct pt_regs (arch/x86/include/asm/ptrace.h), in the order of instructions. */
const PT_REGS = {
  gpr: [80, 88, 96, 40, 152, 32, 104, 112, 72, 64, 56, 48, 24, 16, 8, 0],
  ip: 128,
  cs: 136,
  sp: 152,
} as const;
/** Of what the processor pushes: IP, CS, flags, SP. */
const IRET = { ip: 0, cs: 8, sp: 24 } as const;
const USER = 3;

const [RSP, RBP] = [4, 5];
const [RDX, RDI, R10, R13] = [2, 7, 10, 13];

export class Unwinder {
  readonly #context: UnwindContext;
  readonly #words: StackWords;
  /** Registers of the frame that is looked at, in the order of instructions. */
  readonly #gpr = new Float64Array(16);
  readonly #dwarf = new Float64Array(DWARF_REGISTERS);
  readonly #next = new Float64Array(DWARF_REGISTERS);

  constructor(context: UnwindContext, words: StackWords) {
    this.#context = context;
    this.#words = words;
  }

  unwind(start: StartRegisters): Chain {
    const chain: Chain = { ips: [], places: [], kernel: 0 };
    for (let i = 0; i < 16; i++) this.#gpr[i] = start.gpr[i] ?? Number.NaN;
    const from = { ip: start.ip, exact: start.called !== true };
    if (!start.user) {
      const user = this.#kernel(chain, from);
      chain.kernel = chain.ips.length;
      if (user === undefined) return chain;
      this.#user(chain, { ip: user, exact: true });
    } else this.#user(chain, from);
    return chain;
  }

  /** Through the kernel; the user's instruction that it came from, undefined where there is none. */
  #kernel(chain: Chain, from: { ip: number; exact: boolean }): number | undefined {
    const gpr = this.#gpr;
    let { ip, exact } = from;
    for (;;) {
      if (!push(chain, ip, exact)) return undefined;
      const entry = this.#context.orc(exact ? ip : ip - 1);
      if (entry?.type === "end") return undefined;
      if (!entry || entry.type === "undefined" || entry.spBase === "undefined") {
        const caller = this.#byFramePointer();
        if (Number.isNaN(caller) || caller >= 0) {
          chain.truncated = entry ? "unreadable" : "unknown-code";
          return undefined;
        }
        ip = caller;
        exact = false;
        continue;
      }
      const sp = this.#base(entry.spBase, entry.spOffset);
      if (Number.isNaN(sp)) break;
      if (entry.type === "call") {
        ip = this.#words.word(sp - 8);
        const bp = this.#savedBp(entry, sp);
        gpr[RSP] = sp;
        gpr[RBP] = bp;
        exact = false;
      } else {
        const partial = entry.type === "partial";
        const at = partial ? IRET : PT_REGS;
        const cs = this.#words.word(sp + at.cs);
        ip = this.#words.word(sp + at.ip);
        const next = this.#words.word(sp + at.sp);
        if (Number.isNaN(cs) || Number.isNaN(ip) || Number.isNaN(next)) break;
        if (!partial) PT_REGS.gpr.forEach((offset, i) => void (gpr[i] = this.#words.word(sp + offset)));
        gpr[RSP] = next;
        exact = true;
        if ((cs & USER) === USER) return ip;
      }
      if (Number.isNaN(ip)) break;
      // A kernel thread's first frame has nobody to return to.
      if (ip >= 0) return undefined;
    }
    chain.truncated = "unreadable";
    return undefined;
  }

  #base(base: OrcBase, offset: number): number {
    const gpr = this.#gpr;
    switch (base) {
      case "sp":
        return gpr[RSP]! + offset;
      case "bp":
        return gpr[RBP]! + offset;
      case "sp-indirect":
        return this.#words.word(gpr[RSP]!) + offset;
      case "bp-indirect":
        return this.#words.word(gpr[RBP]! + offset);
      case "dx":
        return gpr[RDX]! + offset;
      case "di":
        return gpr[RDI]! + offset;
      case "r10":
        return gpr[R10]! + offset;
      case "r13":
        return gpr[R13]! + offset;
      default:
        return Number.NaN;
    }
  }

  #savedBp({ bpBase, bpOffset }: OrcEntry, sp: number): number {
    const bp = this.#gpr[RBP]!;
    if (bpBase === "previous-sp") return this.#words.word(sp + bpOffset);
    if (bpBase === "bp") return this.#words.word(bp + bpOffset);
    return bp;
  }

  /** The caller by RBP's chain, NaN where that does not look like one. Moves RSP and RBP. */
  #byFramePointer(): number {
    const gpr = this.#gpr;
    const bp = gpr[RBP]!;
    const sp = gpr[RSP]!;
    if (!(bp >= sp && bp - sp < MAX_FRAME) || bp % 8 !== 0) return Number.NaN;
    const caller = this.#words.word(bp + 8);
    const saved = this.#words.word(bp);
    if (Number.isNaN(caller)) return Number.NaN;
    gpr[RSP] = bp + 16;
    gpr[RBP] = saved;
    return caller;
  }

  #byStub(): number {
    const sp = this.#gpr[RSP]!;
    this.#gpr[RSP] = sp + 8;
    return this.#words.word(sp);
  }

  #user(chain: Chain, from: { ip: number; exact: boolean }): void {
    const gpr = this.#gpr;
    const dwarf = this.#dwarf;
    let { ip, exact } = from;
    for (;;) {
      if (!push(chain, ip, exact)) return;
      const place = exact ? ip : ip - 1;
      const code = this.#context.user(place);
      const row = code?.frames?.at(place - code.bias);
      const sp = gpr[RSP]!;
      if (row) {
        for (let i = 0; i < 16; i++) dwarf[DWARF_OF_GPR[i]!] = gpr[i]!;
        dwarf[DWARF.ra] = ip;
        if (row.rules[DWARF.ra] === RULE.undefined) return;
        const caller = this.#byRow(row);
        for (let i = 0; i < 16; i++) gpr[i] = this.#next[DWARF_OF_GPR[i]!]!;
        // Nothing called the first frame of a thread.
        if (caller === 0) return;
        if (Number.isNaN(caller) || !(gpr[RSP]! > sp || row.signal)) {
          chain.truncated = "unreadable";
          return;
        }
        ip = caller;
        exact = row.signal;
      } else {
        // Where a file says much and nothing of this, it is one of the linker's stubs, which leave the stack as it is.
        const caller = exact && code?.frames ? this.#byStub() : this.#byFramePointer();
        // Without a word on where its frame is, what does not look like a caller is none.
        if (Number.isNaN(caller) || caller <= 0 || !this.#context.user(caller - 1)) {
          chain.truncated = "unknown-code";
          return;
        }
        ip = caller;
        exact = false;
      }
      if (ip < 0) {
        chain.truncated = "unreadable";
        return;
      }
    }
  }

  /** The registers of the caller into `#next`; its instruction, NaN where a word is missing. */
  #byRow(row: FrameRow): number {
    const registers = this.#dwarf;
    const next = this.#next;
    const words = this.#words;
    try {
      const cfa = row.cfaExpression
        ? evaluate(row.cfaExpression, registers, words)
        : (registers[row.cfaRegister] ?? Number.NaN) + row.cfaOffset;
      for (let i = 0; i < DWARF_REGISTERS; i++) {
        const value = row.values[i]!;
        switch (row.rules[i]) {
          case RULE.offset:
            next[i] = words.word(cfa + value);
            break;
          case RULE.valueOffset:
            next[i] = cfa + value;
            break;
          case RULE.register:
            next[i] = registers[value] ?? Number.NaN;
            break;
          case RULE.expression:
            next[i] = words.word(evaluate(row.expressions[value]!, registers, words, [cfa]));
            break;
          case RULE.valueExpression:
            next[i] = evaluate(row.expressions[value]!, registers, words, [cfa]);
            break;
          case RULE.undefined:
            next[i] = Number.NaN;
            break;
          default:
            // RSP is the CFA unless it is said otherwise; RAX and its kind are not kept over a call.
            next[i] = i === DWARF.rsp ? cfa : registers[i]!;
        }
      }
    } catch (error) {
      if (!(error instanceof BadTable)) throw error;
      return Number.NaN;
    }
    return next[DWARF.ra]!;
  }
}

/** False where the chain is as long as it may be. */
function push(chain: Chain, ip: number, exact: boolean): boolean {
  if (chain.ips.length >= MAX_FRAMES) {
    chain.truncated = "depth";
    return false;
  }
  chain.ips.push(ip);
  chain.places.push(exact ? ip : ip - 1);
  return true;
}
