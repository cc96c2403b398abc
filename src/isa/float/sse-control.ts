/** LDMXCSR and STMXCSR (SDM vol. 1, 10.2.3). The upper half of MXCSR is reserved: MXCSR_MASK is 0xFFFF. */
import type { Context, I32, Operand } from "../context.ts";
import { insn } from "../row.ts";
import { setMxcsr } from "./sse-guard.ts";

const GP_VECTOR = 13;
const RESERVED = 0xffff_0000;

const load = (m: Context, src: Operand) => {
  const value = src.read() as I32;
  m.raiseIf(value.and(RESERVED), GP_VECTOR, 0);
  setMxcsr(m, value);
};
const store = (m: Context, dst: Operand) => dst.write(m.get("mxcsr"));

export const SSE_CONTROL = [
  ...insn("LDMXCSR", load, "NP 0F AE /2 | m32 | sse"),
  ...insn("STMXCSR", store, "NP 0F AE /3 | w:m32 | sse"),
];
