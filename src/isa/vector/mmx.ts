/**
 * The MMX registers are the mantissas of the x87 registers (SDM vol. 1, 9.2.2; vol. 3, 13.2 "The MMX state and MMX register aliasing"):
 * physical register n is MMn. Every MMX instruction but EMMS sets TOP to 0 and all tags to valid; writing a register sets its
 * sign and exponent bits to ones. What an instruction does to the last x87 opcode and pointers is not modelled: it leaves them.
 */

import { i32 } from "../../wasm/index.ts";
import type { Context, I64, Operand } from "../context.ts";
import { insn } from "../row.ts";

/** The transition to MMX state. Comes after everything that may fault. */
export function enterMmx(m: Context): void {
  m.set("ftop", i32(0));
  m.set("fempty", i32(0));
}

/** Writes an MMX register and makes the transition. */
export function writeMmx(m: Context, dst: Operand, value: I64): void {
  dst.write(value);
  m.runtime("mmxWritten", dst.number());
  enterMmx(m);
}

const emms = (m: Context) => {
  m.set("ftop", i32(0));
  m.set("fempty", i32(0xff));
};

export const MMX_STATE = insn("EMMS", emms, "NP 0F 77 | | mmx");
