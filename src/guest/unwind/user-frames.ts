/**
 * Frames of user code, from the inside out: by call frame information; where a file says nothing, or there is none as for code that a program
 * made itself, by frame pointers and what a signal leaves on the stack. What does not look like a caller is none.
 */
import type { CallFrames, FrameRow } from "./call-frames.ts";
import { RULE } from "./call-frames.ts";
import { BadTable } from "./cursor.ts";
import { evaluate, type Steps } from "./expression.ts";
import {
  DWARF,
  DWARF_OF_GPR,
  DWARF_REGISTERS,
  GPR_COUNT,
  isUserAddress,
  MAX_SWITCHES,
  type StackWords,
  type Step,
} from "./words.ts";

/** Farthest that a frame pointer may point beyond the stack pointer: larger frames are no frames. */
const MAX_FRAME = 1 << 23;
/** Operations of a chain's expressions: a stub has eleven, a signal's frame fifty. Stops frames that compute for long. */
const MAX_STEPS = 4096;
/** mov $15,%rax; syscall: rt_sigreturn, which a handler of a signal returns to. */
const SIGRETURN = [0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05] as const;
/** uc_mcontext of the struct ucontext that the kernel leaves there (asm/sigcontext.h): r8 and on, then these, all by DWARF number. */
const CONTEXT = { at: 40, registers: [8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2, 7, 16] } as const;
const SYSCALL = [0x0f, 0x05] as const;
/** Bytes of the longest call instruction that is looked for. */
const LONGEST_CALL = 7;

/** Code of a file, or of none. */
export interface UserCode {
  readonly frames: CallFrames | undefined;
  /** What its addresses are ahead of the file's. */
  readonly bias: number;
  /** Bytes of the file by address; undefined where they are not known. */
  readonly text?: { at(address: number, length: number): Uint8Array | undefined } | undefined;
}

export interface UserCodeContext {
  /** Of user code; undefined where no code is. */
  user(ip: number): UserCode | undefined;
}

export class UserFrames {
  ip = 0;
  exact = true;
  readonly #context: UserCodeContext;
  readonly #words: StackWords;
  /** Registers by DWARF number; NaN where one is not known. */
  readonly #registers = new Float64Array(DWARF_REGISTERS);
  readonly #next = new Float64Array(DWARF_REGISTERS);
  readonly #steps: Steps = { left: 0 };
  #switches = 0;
  #byPointers = false;

  constructor(context: UserCodeContext, words: StackWords) {
    this.#context = context;
    this.#words = words;
  }

  begin(gpr: ArrayLike<number>, ip: number, exact: boolean): void {
    for (let i = 0; i < GPR_COUNT; i++) this.#registers[DWARF_OF_GPR[i]!] = gpr[i] ?? Number.NaN;
    this.ip = ip;
    this.exact = exact;
    this.#switches = 0;
    this.#steps.left = MAX_STEPS;
    this.#byPointers = false;
  }

  /** As `begin`, of code that the kernel was entered from: by a system call, which is a call like any other, or by an interrupt. */
  beginBelowKernel(gpr: ArrayLike<number>, ip: number): void {
    this.begin(gpr, ip, !this.#has(ip - SYSCALL.length, SYSCALL));
  }

  /** One frame outwards. */
  step(): Step {
    const place = this.exact ? this.ip : this.ip - 1;
    const code = this.#context.user(place);
    const row = code?.frames?.at(place - code.bias);
    return row ? this.#byRow(row) : this.#without(code);
  }

  #byRow(row: FrameRow): Step {
    if (row.outermost) return "end";
    const registers = this.#registers;
    const sp = registers[DWARF.rsp]!;
    registers[DWARF.ra] = this.ip;
    try {
      if (row.plain) this.#plain(row);
      else this.#general(row);
    } catch (error) {
      if (error instanceof BadTable) return "unknown-code";
      throw error;
    }
    this.#byPointers = false;
    return this.#goOn(registers[DWARF.ra]!, sp, row.signal);
  }

  /** A CFA by a register, and registers saved at offsets from it. */
  #plain({ cfaRegister, cfaOffset, registers: saved, values }: FrameRow): void {
    const registers = this.#registers;
    const cfa = registers[cfaRegister]! + cfaOffset;
    // RSP is the CFA unless it is said otherwise.
    registers[DWARF.rsp] = cfa;
    for (let i = 0; i < saved.length; i++) registers[saved[i]!] = this.#words.word(cfa + values[i]!);
  }

  #general(row: FrameRow): void {
    const registers = this.#registers;
    const next = this.#next;
    const words = this.#words;
    const steps = this.#steps;
    const cfa = row.cfaExpression
      ? evaluate(row.cfaExpression, registers, words, steps)
      : (registers[row.cfaRegister] ?? Number.NaN) + row.cfaOffset;
    next.set(registers);
    next[DWARF.rsp] = cfa;
    for (let i = 0; i < row.registers.length; i++) {
      const register = row.registers[i]!;
      const value = row.values[i]!;
      switch (row.rules[i]) {
        case RULE.offset:
          next[register] = words.word(cfa + value);
          break;
        case RULE.valueOffset:
          next[register] = cfa + value;
          break;
        case RULE.register:
          next[register] = registers[value] ?? Number.NaN;
          break;
        case RULE.expression:
          next[register] = words.word(evaluate(row.expressions[value]!, registers, words, steps, [cfa]));
          break;
        case RULE.valueExpression:
          next[register] = evaluate(row.expressions[value]!, registers, words, steps, [cfa]);
          break;
        default:
          next[register] = Number.NaN;
      }
    }
    registers.set(next);
  }

  #goOn(caller: number, sp: number, signal: boolean): Step {
    if (Number.isNaN(caller)) return "unreadable";
    // Nothing called the first frame of a thread.
    if (caller === 0) return "end";
    if (!isUserAddress(caller)) return "unknown-code";
    // Only a signal may have interrupted code on another stack.
    const upwards = this.#registers[DWARF.rsp]! > sp || Number.isNaN(sp);
    if (!upwards && !(signal && this.#switches++ < MAX_SWITCHES)) return "no-progress";
    this.ip = caller;
    this.exact = signal;
    return "frame";
  }

  #without(code: UserCode | undefined): Step {
    const registers = this.#registers;
    const sp = registers[DWARF.rsp]!;
    if (code && this.#isSigreturn(this.ip)) {
      CONTEXT.registers.forEach((register, i) => {
        registers[register] = this.#words.word(sp + CONTEXT.at + 8 * i);
      });
      return this.#goOn(registers[DWARF.ra]!, sp, true);
    }
    if (this.exact && code?.frames) {
      // Where a file says much and nothing of this, it is one of the linker's stubs, which leave the stack as it is.
      const caller = this.#words.word(sp);
      if (this.#isCaller(caller)) {
        registers[DWARF.rsp] = sp + 8;
        return this.#goOn(caller, sp, false);
      }
    }
    return this.#byFramePointer(sp);
  }

  #byFramePointer(sp: number): Step {
    const registers = this.#registers;
    const bp = registers[DWARF.rbp]!;
    // The outermost frame has none (System V ABI, AMD64 supplement, 3.4.1).
    if (bp === 0 && this.#byPointers) return "end";
    if (!(bp >= sp && bp - sp < MAX_FRAME) || bp % 8 !== 0) return "unknown-code";
    const caller = this.#words.word(bp + 8);
    if (Number.isNaN(caller)) return "unreadable";
    if (!this.#isCaller(caller)) return "unknown-code";
    registers[DWARF.rsp] = bp + 16;
    registers[DWARF.rbp] = this.#words.word(bp);
    this.#byPointers = true;
    return this.#goOn(caller, sp, false);
  }

  /** An address that code may return to: behind a call, as far as its bytes are known. */
  #isCaller(ip: number): boolean {
    const code = ip > 0 ? this.#context.user(ip - 1) : undefined;
    if (!code) return false;
    const before = code.text?.at(ip - code.bias - LONGEST_CALL, LONGEST_CALL);
    return before === undefined || endsInCall(before) || this.#isSigreturn(ip);
  }

  #isSigreturn(ip: number): boolean {
    return this.#has(ip, SIGRETURN);
  }

  #has(ip: number, wanted: readonly number[]): boolean {
    const code = this.#context.user(ip);
    const bytes = code?.text?.at(ip - code.bias, wanted.length);
    return bytes !== undefined && wanted.every((byte, i) => bytes[i] === byte);
  }
}

/** CALL rel32, or CALL r/m64 with any operand (SDM vol. 2A, CALL): prefixes lie in front of it. */
function endsInCall(bytes: Uint8Array): boolean {
  const end = bytes.length;
  if (bytes[end - 5] === 0xe8) return true;
  for (let length = 2; length <= LONGEST_CALL; length++) {
    const modrm = bytes[end - length + 1]!;
    if (bytes[end - length] !== 0xff || (modrm & 0x38) !== 0x10) continue;
    const mod = modrm >> 6;
    const sib = mod !== 3 && (modrm & 7) === 4;
    const base32 = mod === 0 && (sib ? (bytes[end - length + 2]! & 7) === 5 : (modrm & 7) === 5);
    const displacement = mod === 1 ? 1 : mod === 2 || base32 ? 4 : 0;
    if (2 + (sib ? 1 : 0) + displacement === length) return true;
  }
  return false;
}
