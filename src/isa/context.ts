/**
 * What a meaning may ask of the engine that is writing code for it. A meaning is a TypeScript function
 * that describes one instruction with these calls; whether they load operands from a decoded record
 * (interpreter) or from locals of a region (JIT) is the engine's business.
 *
 * Values: operands of 8, 16 and 32 bits travel as i32 (8 and 16 bits zero-extended when read; only the
 * low bits count when written), operands of 64 bits as i64. Vectors travel as v128.
 *
 * Order: all that may fault (loads, stores, checks) comes before the first change of a register or
 * flag, or leaves the instruction restartable. Everything here acts at once, in the order it is called;
 * the expressions returned are safe to use many times.
 */
import type { ExprOf, F64, FunctionBuilder, I32, I64, Int, ValType, Vec } from "../wasm/index.ts";

export type Bits = 8 | 16 | 32 | 64;
/** An integer of the operand's size: i32 up to 32 bits, else i64. */
export type AnyInt = Int;
/** Lower or upper 128 bits of a 256-bit operand. */
export type Half = 0 | 1;

/** One operand of the instruction being written. */
export interface Operand {
  /** Its width: 8 to 64 for integers, 80 for x87 memory operands, 128 for XMM, 256 for YMM. 0 for a bare address (LEA). */
  readonly bits: number;
  readonly isMemory: boolean;
  /** Its value. A memory operand that is also written is checked for writing here. */
  read(): AnyInt;
  write(value: AnyInt): void;
  /**
   * 128-bit operands: XMM register or memory (memory operands of 16 bytes must be aligned unless the row says "unaligned").
   * 256-bit ones are read and written by halves, the upper half being 1: bits 128-255 of the register, 16 bytes further on in
   * memory. Memory is checked as a whole at the first use. The lower half is written first, and the upper one right after it.
   * An XMM register that a VEX-encoded row writes has its bits 128-255 zeroed.
   * VSIB memory (gathers): what is read is the vector of indices.
   * XMM register or memory of 32 or 64 bits: the lowest lane is the operand; above it is the rest of the register, or zero.
   */
  readVec(half?: Half): Vec;
  writeVec(value: Vec, half?: Half): void;
  /** Memory operands: the effective address (offset, without segment base), truncated to the address size. */
  offset(): I64;
  /** Memory operands: the linear address of the byte `displacement` bytes further on, for Context.load and store. */
  linear(displacement?: number): I64;
  /**
   * The same for a displacement that is computed (BT with a register). Like offset() and linear(), it takes the registers
   * as they are at the operand's first use: POP to memory counts on that. VSIB memory: `displacement` is an index, to be scaled.
   */
  linearAt(displacement: I64): I64;
  /** An immediate that is the same for every execution, if the engine knows it now (JIT); else undefined. */
  readonly known: bigint | undefined;
  /** Register operands: number of the register (segment, control, debug, x87, MMX, XMM), as an i32. */
  number(): I32;
}

/** Condition codes in encoding order (SDM vol. 1 app. B): O NO B NB Z NZ BE A S NS P NP L GE LE G. */
export type ConditionCode = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10 | 11 | 12 | 13 | 14 | 15;

/** Arithmetic flags. Producers return their result, truncated to `bits` where that is under 32. */
export interface Flags {
  add(bits: Bits, a: AnyInt, b: AnyInt): AnyInt;
  /** a + b + CF. */
  adc(bits: Bits, a: AnyInt, b: AnyInt): AnyInt;
  sub(bits: Bits, a: AnyInt, b: AnyInt): AnyInt;
  /** a - b - CF. */
  sbb(bits: Bits, a: AnyInt, b: AnyInt): AnyInt;
  /** SF ZF PF from the result; CF = OF = AF = 0. */
  logic(bits: Bits, result: AnyInt): AnyInt;
  /** a + 1 and a - 1: CF stays. */
  inc(bits: Bits, a: AnyInt): AnyInt;
  dec(bits: Bits, a: AnyInt): AnyInt;
  /** SF ZF PF from the result, CF OF AF (0/1 each) as given. For shifts, multiplications, BCD. */
  result(bits: Bits, result: AnyInt, cf: I32, of: I32, af?: I32): void;
  /** CF alone changes; 0/1. */
  setCf(cf: I32): void;
  /** CF and OF alone change (rotates); 0/1 each. */
  setCfOf(cf: I32, of: I32): void;
  /** ZF alone changes (LAR, CMPXCHG8B, VERR…); 0/1. */
  setZf(zf: I32): void;
  /** ZF PF CF by how two numbers compare, as UCOMISD has it: CF less, ZF equal, all three unordered. OF SF AF are cleared. */
  compare(x: F64, y: F64): void;
  /** The six arithmetic flags from an image laid out as EFLAGS (bits 0 2 4 6 7 11); other bits are ignored. */
  set(image: I32): void;
  /** The six arithmetic flags, laid out as EFLAGS; other bits zero. */
  get(): I32;
  cf(): I32;
  zf(): I32;
  of(): I32;
  af(): I32;
  pf(): I32;
  sf(): I32;
  /** 1 where the condition holds, else 0. */
  condition(code: ConditionCode): I32;
}

/** Rounding and exceptions of one SSE operation, or a runtime function by name: see cpu/runtime. */
export interface Context {
  /** The function being written: `let`, `if`, `loop`, `choose`, `local` are used freely. */
  readonly f: FunctionBuilder;
  /** Operand size of the instruction, in bits, after prefixes: 16, 32 or 64. */
  readonly size: 16 | 32 | 64;
  /** Address size, in bits. Only rows with the attribute "asize" may depend on it. */
  readonly addressSize: 16 | 32 | 64;
  /** Whether the CPU is in 64-bit mode. Only rows with the attribute "mode" may depend on it. */
  readonly mode64: boolean;
  /** REP prefix. Only rows with the attribute "rep" may depend on it. */
  readonly rep: "none" | "rep" | "repne";
  readonly flags: Flags;

  /** General register by number (0 = RAX … 15), at a width; 8-bit access is to the low byte. */
  reg(number: number, bits: Bits): AnyInt;
  /** 8 and 16 bits leave the rest of the register alone; 32 bits zero the upper half. */
  setReg(number: number, bits: Bits, value: AnyInt): void;

  /** A field of the declared CPU state (cpu/state.ts), as it is declared there. */
  get<T extends ValType = "i32">(field: string, type?: T): ExprOf<T>;
  set(field: string, value: ExprOf<ValType>): void;

  /**
   * Reads guest memory at a linear address (from Operand.linear, or segment() + offset). Faults are precise; what will be
   * written there next is checked for writing.
   */
  load(bits: Bits, linear: I64, toWrite?: boolean): AnyInt;
  store(bits: Bits, linear: I64, value: AnyInt): void;
  loadVec(linear: I64): Vec;
  /** 16 bytes, or 32 at once with an upper half. */
  storeVec(linear: I64, value: Vec, upper?: Vec): void;
  /** Faults as a write of `bytes` at `linear` would, without writing. */
  probeWrite(linear: I64, bytes: number): void;
  /** Linear address of `offset` in a segment (0 ES 1 CS 2 SS 3 DS 4 FS 5 GS): limit and type checked for an access of `bytes`. */
  address(segment: I32 | number, offset: I64, bytes: number, write: boolean): I64;
  /** The data segment that prefixes chose for the instruction (DS when none). */
  dataSegment(): I32;

  /** Pushes with the stack's own address size; `bits` is what the operation moves. */
  push(bits: 16 | 32 | 64, value: AnyInt): void;
  pop(bits: 16 | 32 | 64): AnyInt;

  /** RIP (EIP, IP) of this instruction and of the next, as an offset in CS. */
  rip(): I64;
  nextRip(): I64;
  /**
   * Near jump to an offset in CS: truncated to the operand size, checked (canonical, limit). Ends the instruction.
   * `undo` writes what takes the instruction's changes back; it goes in front of the exception where the check fails.
   */
  jump(target: I64, undo?: () => void): void;
  /** Jump to the relative operand of this row when `condition` holds, else on to the next instruction. Ends the instruction. */
  jumpRelative(condition?: I32, undo?: () => void): void;
  /** Goes round again on the same instruction after the state so far is stored: interrupts may come in between (REP). Ends the instruction. */
  again(): void;
  /** The same where `condition` holds, else on to the next instruction. Ends the instruction. */
  againIf(condition: I32): void;
  /** Leaves compiled code in front of the next instruction, so that the run loop looks at interrupts and mode. Ends the instruction. */
  leave(): void;
  /** Goes on where the state field `rip` says, in the mode the state says. Ends the instruction. */
  resume(): void;
  /** Leaves like `leave` if something waits for the run loop (interrupt after STI, I/O that raised one); else goes on. */
  checkpoint(): void;

  /** Raises an exception of this instruction; nothing after it is executed. */
  raise(vector: number, errorCode?: I32 | number): void;
  /** The same where `condition` is not zero. */
  raiseIf(condition: I32, vector: number, errorCode?: I32 | number): void;

  /**
   * Calls a runtime function by name (cpu/runtime, written with the same writer, or TypeScript behind an import).
   * `runtime` is for functions without a result, `runtimeFor` for those with one.
   */
  runtime(name: string, ...operands: ExprOf<ValType>[]): void;
  runtimeFor<T extends ValType>(type: T, name: string, ...operands: ExprOf<ValType>[]): ExprOf<T>;
  /** A runtime function that may fault: it returns 0 when all went well, else an exception is pending and the instruction ends. */
  runtimeMayFault(name: string, ...operands: ExprOf<ValType>[]): void;
}

export type Meaning = (m: Context, ...operands: Operand[]) => void;
export type { F64, I32, I64, Vec };
