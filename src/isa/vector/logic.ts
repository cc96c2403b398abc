/**
 * Bitwise logic and tests of bits (SDM vol. 1, 5.4.5, 5.5.1.4, 5.6.1.3, 5.10.11). The forms named after floating
 * point differ in nothing but the encoding.
 */
import type { Context, Operand } from "../context.ts";
import { insn } from "../row.ts";
import { type Binary, both, onXmm } from "./forms.ts";

const and: Binary = (a, b) => a.and(b);
const andNot: Binary = (a, b) => b.op("v128.andnot", a);
const or: Binary = (a, b) => a.or(b);
const xor: Binary = (a, b) => a.xor(b);

const typed = (name: string, opcode: string, op: Binary) => [
  ...insn(`${name}PS`, onXmm(op), `NP ${opcode} /r | rw:xmm, xmmm128 | sse`),
  ...insn(`${name}PD`, onXmm(op), `66 ${opcode} /r | rw:xmm, xmmm128 | sse sse2`),
];

/** ZF: no bit in common; CF: every bit of the source is in the destination. */
const ptest = (m: Context, dst: Operand, src: Operand) => {
  const over = (op: Binary) =>
    (dst.bits === 256 ? ([0, 1] as const) : ([0] as const))
      .map((half) => op(dst.readVec(half), src.readVec(half), m.f))
      .reduce((x, y) => x.or(y));
  const zf = over(and).test("v128.any_true").eqz();
  const cf = over(andNot).test("v128.any_true").eqz();
  m.flags.set(zf.shl(6).or(cf));
};

export const LOGIC = [
  ...both("PAND", "0F DB", "- sse2", and),
  ...both("PANDN", "0F DF", "- sse2", andNot),
  ...both("POR", "0F EB", "- sse2", or),
  ...both("PXOR", "0F EF", "- sse2", xor),
  ...typed("AND", "0F 54", and),
  ...typed("ANDN", "0F 55", andNot),
  ...typed("OR", "0F 56", or),
  ...typed("XOR", "0F 57", xor),
  ...insn("PTEST", ptest, "66 0F 38 17 /r | xmm, xmmm128 | sse sse41"),
];
