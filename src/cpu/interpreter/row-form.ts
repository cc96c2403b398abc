/**
 * What the records of a row have in common, derived from it once: instructions are decoded by the ten thousand while a guest boots, and
 * sets and lists are too slow to ask at each.
 */
import type { OperandSpec, Row } from "../../isa/row.ts";
import { mayBeMemory, REGISTER_KINDS } from "./operand.ts";
import { effectOf, type FlagEffect, isBranch, isSwitch } from "./pairs.ts";

/** Instructions that load and store through SS by themselves: what faults there is a stack fault. */
export const ON_STACK: ReadonlySet<string> = new Set(["POP", "ENTER", "LEAVE"]);

/** Near transfers of control, which alone always have an operand size of 64 bits in 64-bit mode. */
export const isJump = (row: Row): boolean => row.attributes.has("f64");

export class RowForm {
  readonly jumps: boolean;
  /** It jumps to a computed address. */
  readonly switches: boolean;
  /** It is a Jcc. */
  readonly branches: boolean;
  /** Control never falls through. */
  readonly ends: boolean;
  readonly onStack: boolean;
  readonly mayBeMemory: boolean;
  readonly vsib: boolean;
  readonly twoImmediates: boolean;
  /** Operands that fields of the record name registers for, where ModRM names memory and where it does not. */
  readonly besideMemory: readonly OperandSpec[];
  readonly registers: readonly OperandSpec[];
  /** FlagEffect with operands in memory, and in registers; undefined: it depends on the immediate. */
  readonly memoryEffect: FlagEffect;
  readonly effect: FlagEffect | undefined;

  constructor(row: Row) {
    const { operands } = row;
    this.jumps = isJump(row);
    this.switches = isSwitch(row);
    this.branches = isBranch(row);
    this.ends = row.attributes.has("end");
    this.onStack = ON_STACK.has(row.mnemonic);
    this.mayBeMemory = operands.some(mayBeMemory);
    this.vsib = operands.some((o) => o.kind === "vsib");
    this.twoImmediates = operands.filter((o) => o.kind === "imm").length > 1;
    this.registers = operands.filter((o) => REGISTER_KINDS.has(o.kind));
    this.besideMemory = this.registers.filter((o) => !mayBeMemory(o));
    this.memoryEffect = effectOf(row, "base", 0);
    const effect = effectOf(row, "none", 0);
    this.effect = effect === effectOf(row, "none", 1) ? effect : undefined;
  }
}
