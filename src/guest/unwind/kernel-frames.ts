/**
 * Frames of kernel code, from the inside out, as the kernel itself goes through them (arch/x86/kernel/unwind_orc.c, unwind_frame.c): by ORC; by
 * frame pointers where ORC says nothing, in code that BPF made or all through a kernel without it.
 *
 * Where ORC says that the stack ends, the user's code may be only some pushes away (arch/x86/entry/entry_64.S): see `#entryCode`.
 */
import type { OrcEntry } from "./orc.ts";
import type { OrcBase } from "./orc-format.ts";
import { GPR, GPR_COUNT, isUserAddress, MAX_SWITCHES, type StackWords, type Step } from "./words.ts";

/** THREAD_SIZE with all that has ever been configured: a frame that reaches farther is on another stack. */
const MAX_STACK = 32 * 1024;
/** Code of the kernel, its modules and BPF programs lies above. */
const LOWEST_CODE = -(2 ** 31);
const PAGE = 4096;

/** Offsets in struct pt_regs (arch/x86/include/asm/ptrace.h), in the order of instructions. */
const PT_REGS = {
  gpr: [80, 88, 96, 40, 152, 32, 104, 112, 72, 64, 56, 48, 24, 16, 8, 0],
  ip: 128,
  cs: 136,
  sp: 152,
  ss: 160,
  size: 168,
} as const;
/** What the processor pushes of it: from IP on. */
const IRET = PT_REGS.ip;
/** Below the end of a task's stack: nothing, or TOP_OF_KERNEL_STACK_PADDING of kernels for FRED. */
const PADDINGS = [0, 16] as const;
/** Selectors (arch/x86/include/asm/segment.h), and the privilege level in them. */
const SELECTOR = { user: 0x33, user32: 0x23, userData: 0x2b, level: 3 } as const;

export interface KernelCodeContext {
  /** Of kernel code; undefined where nothing is said. */
  orc(ip: number): OrcEntry | undefined;
}

export class KernelFrames {
  /** Registers of the frame that is looked at, in the order of instructions; NaN where one is not known. */
  readonly gpr = new Float64Array(GPR_COUNT);
  ip = 0;
  /** `ip` is the instruction that comes next; otherwise the one behind a call. */
  exact = true;
  /** Behind "user": code of 32 bits. */
  compat = false;
  readonly #context: KernelCodeContext;
  readonly #words: StackWords;
  /** Where this stack was entered; from where to where those before it were walked. */
  #low = 0;
  readonly #walked: number[] = [];

  constructor(context: KernelCodeContext, words: StackWords) {
    this.#context = context;
    this.#words = words;
  }

  begin(gpr: ArrayLike<number>, ip: number, exact: boolean): void {
    for (let i = 0; i < GPR_COUNT; i++) this.gpr[i] = gpr[i] ?? Number.NaN;
    this.ip = ip;
    this.exact = exact;
    this.compat = false;
    this.#low = this.gpr[GPR.rsp]!;
    this.#walked.length = 0;
  }

  /** One frame outwards. */
  step(): Step {
    const entry = this.#context.orc(this.exact ? this.ip : this.ip - 1);
    if (!entry) return this.#byFramePointer();
    const { type, spBase, spOffset, signal } = entry;
    if (type === "end" || type === "undefined") return this.#entryCode(type === "end" ? "end" : "unknown-code");
    const sp = this.#base(spBase, spOffset);
    if (Number.isNaN(sp)) return "unreadable";
    const switches = spBase === "sp-indirect" || spBase === "bp-indirect";
    if (type === "call") return this.#call(sp, this.#words.word(sp - 8), this.#savedBp(entry, sp), signal, switches);
    const step = this.#registersAt(type === "regs" ? sp : sp - IRET, type === "partial", signal);
    // Behind the call of error_entry ORC says what held in front of it.
    return step === "unknown-code" ? this.#entryCode(step) : step;
  }

  #base(base: OrcBase, offset: number): number {
    const { gpr } = this;
    switch (base) {
      case "sp":
        return gpr[GPR.rsp]! + offset;
      case "bp":
        return gpr[GPR.rbp]! + offset;
      case "sp-indirect":
        return this.#words.word(gpr[GPR.rsp]!) + offset;
      case "bp-indirect":
        return this.#words.word(gpr[GPR.rbp]! + offset);
      // Of these there is no offset.
      case "ax":
        return gpr[GPR.rax]!;
      case "dx":
        return gpr[GPR.rdx]!;
      case "di":
        return gpr[GPR.rdi]!;
      case "r10":
        return gpr[GPR.r10]!;
      case "r13":
        return gpr[GPR.r13]!;
      default:
        return Number.NaN;
    }
  }

  #savedBp({ bpBase, bpOffset }: OrcEntry, sp: number): number {
    const bp = this.gpr[GPR.rbp]!;
    if (bpBase === "previous-sp") return this.#words.word(sp + bpOffset);
    if (bpBase === "bp") return this.#words.word(bp + bpOffset);
    return bp;
  }

  #call(sp: number, caller: number, bp: number, signal: boolean, switches: boolean): Step {
    if (Number.isNaN(caller)) return "unreadable";
    // Nobody called the first function of a kernel thread.
    if (caller >= LOWEST_CODE && caller < 0) {
      if (!this.#moveTo(sp, switches)) return "no-progress";
    } else return caller === 0 ? "end" : "unknown-code";
    // What else its caller had in registers is not known.
    this.gpr.fill(Number.NaN);
    this.gpr[GPR.rsp] = sp;
    this.gpr[GPR.rbp] = bp;
    this.ip = caller;
    this.exact = signal;
    return "frame";
  }

  /** `partial`: only what the processor pushed is there; other registers are still what they were. */
  #registersAt(at: number, partial: boolean, signal: boolean): Step {
    const { gpr } = this;
    const words = this.#words;
    const ip = words.word(at + PT_REGS.ip);
    const cs = words.word(at + PT_REGS.cs);
    const sp = words.word(at + PT_REGS.sp);
    if (Number.isNaN(ip) || Number.isNaN(cs) || Number.isNaN(sp)) return "unreadable";
    const user = (cs & SELECTOR.level) === SELECTOR.level;
    if (!user) {
      if (ip === 0) return "end";
      if (!(ip >= LOWEST_CODE && ip < 0)) return "unknown-code";
      if (!this.#moveTo(sp, true)) return "no-progress";
    }
    if (!partial) PT_REGS.gpr.forEach((offset, i) => void (gpr[i] = words.word(at + offset)));
    gpr[GPR.rsp] = sp;
    this.ip = ip;
    this.exact = user || signal;
    this.compat = (cs & 0xffff) === SELECTOR.user32;
    return user ? "user" : "frame";
  }

  /** False where the stack pointer would not get farther: up the same stack, or to one where it has not been. */
  #moveTo(sp: number, switches: boolean): boolean {
    const from = this.gpr[GPR.rsp]!;
    if (sp > from && sp - from <= MAX_STACK) return true;
    const walked = this.#walked;
    if (!switches || walked.length >= 2 * MAX_SWITCHES) return false;
    walked.push(this.#low, from);
    for (let i = 0; i < walked.length; i += 2) if (sp >= walked[i]! && sp <= walked[i + 1]!) return false;
    this.#low = sp;
    return !Number.isNaN(sp);
  }

  #byFramePointer(): Step {
    const { gpr } = this;
    const bp = gpr[GPR.rbp]!;
    const sp = gpr[GPR.rsp]!;
    // Where registers were saved RBP is their address, and one more (ENCODE_FRAME_POINTER).
    if (bp < 0 && bp % 2 !== 0) return this.#registersAt(bp - 1, false, true);
    // What a system call begins with has cleared it, and its caller's frame is followed by the registers.
    if (bp === 0 && !this.exact && this.#isUser(sp)) return this.#registersAt(sp, false, true);
    if (!(bp >= sp && bp - sp < MAX_STACK) || bp % 8 !== 0) return "unknown-code";
    return this.#call(bp + 16, this.#words.word(bp + 8), this.#words.word(bp), false, false);
  }

  /** Registers of user code are saved at an address. */
  #isUser(at: number): boolean {
    return this.#selector(at + PT_REGS.cs) === SELECTOR.user && this.#selector(at + PT_REGS.ss) === SELECTOR.userData;
  }

  /** What lies above it is FRED's. */
  #selector(at: number): number {
    return this.#words.word(at) & 0xffff;
  }

  /**
   * Where ORC says that the stack ends, or nothing: a kernel thread began here, or user code has just come in or is about to go on.
   * Then a stack is all but empty: SYSCALL has left the user's instruction in RCX, and the entry code pushes the rest word by word from the
   * end of the stack on; on the way out RDI leads to what was saved, and some of it is pushed again on another stack.
   * `otherwise`: what it is if none of this fits.
   */
  #entryCode(otherwise: Step): Step {
    const { gpr } = this;
    const sp = gpr[GPR.rsp]!;
    // All is saved: a thread that has not been in user code since it was made (ret_from_fork), or a stack about to be changed.
    const whole = PADDINGS.some((padding) => (sp + PT_REGS.size + padding) % PAGE === 0);
    if (whole && this.#isUser(sp)) return this.#registersAt(sp, false, true);
    if (!this.exact) return otherwise;
    const saved = gpr[GPR.rdi]! - PT_REGS.gpr[GPR.rdi]!;
    if (saved < 0 && this.#isUser(saved)) return this.#registersAt(saved, true, true);
    const rcx = gpr[GPR.rcx]!;
    // Still on the user's stack, or there again.
    if (sp >= 0) return this.#toUser(rcx, sp, otherwise);
    const end = Math.ceil(sp / PAGE) * PAGE;
    // Where the user's stack is was not pushed yet.
    if (sp === end) return this.#toUser(rcx, Number.NaN, otherwise);
    // That alone is left for SYSRET's way out.
    const left = this.#words.word(sp);
    if (sp === end - 8 && left > SELECTOR.userData) return this.#toUser(rcx, left, otherwise);
    for (const padding of PADDINGS) {
      const top = end - padding;
      const pushed = (top - sp) / 8;
      if (!(pushed >= 1 && top - sp < PT_REGS.size)) continue;
      const frame = top - PT_REGS.size;
      if (pushed >= 5) {
        if (this.#isUser(frame)) return this.#registersAt(frame, true, true);
      } else if (this.#selector(frame + PT_REGS.ss) === SELECTOR.userData) {
        return this.#toUser(rcx, pushed >= 2 ? this.#words.word(frame + PT_REGS.sp) : Number.NaN, otherwise);
      }
    }
    return otherwise;
  }

  #toUser(ip: number, sp: number, otherwise: Step): Step {
    if (!isUserAddress(ip) || sp < 0) return otherwise;
    this.ip = ip;
    this.exact = true;
    this.gpr[GPR.rsp] = sp;
    return "user";
  }
}
