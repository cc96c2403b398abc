/**
 * The forms that most vector instructions come in: a function of two vectors, on XMM registers and, for the
 * older ones, on MMX registers too, where the same function works on 64 bits put into a vector.
 */

import type { FunctionBuilder } from "../../wasm/index.ts";
import type { Context, I32, I64, Meaning, Operand, Vec } from "../context.ts";
import { insn, type Row } from "../row.ts";
import { writeMmx } from "./mmx.ts";
import { highOf, lowOf, pair, splat } from "./value.ts";

/** destination, source → new destination. The operands are free of effects; what is used twice is bound with `f.let`. */
export type Binary = (a: Vec, b: Vec, f: FunctionBuilder) => Vec;

export const read64 = (o: Operand): I64 => o.read() as I64;
export const read32 = (o: Operand): I32 => o.read() as I32;
/** An MMX operand, or 32 bits of one, widened to 64 bits. */
const readMmx = (o: Operand): I64 => (o.bits === 32 ? read32(o).extendU() : read64(o));

/** A lane instruction of WebAssembly that is the instruction itself. */
export const same =
  (name: string): Binary =>
  (a, b) =>
    a.op(name, b);

export const onXmm =
  (op: Binary): Meaning =>
  (m, dst, src) => {
    const a = dst!.readVec();
    dst!.writeVec(op(a, src!.readVec(), m.f));
  };

/** How a function of vectors is applied to MMX registers. */
export type Lift = (op: Binary) => Meaning;

const lift =
  (apply: (op: Binary, a: I64, b: I64, m: Context) => I64): Lift =>
  (op) =>
  (m, dst, src) => {
    const a = read64(dst!);
    writeMmx(m, dst!, apply(op, a, readMmx(src!), m));
  };

/** Each lane of the result comes from the same lanes of the operands. */
export const lanewise = lift((op, a, b, m) => lowOf(op(splat("i64x2", a), splat("i64x2", b), m.f)));
/** The result is made of the whole destination, then of the whole source (packs, horizontal sums). */
export const joined = lift((op, a, b, m) => {
  const both = m.f.let(pair(a, b));
  return lowOf(op(both, both, m.f));
});
/** The high half of what the lanewise form gives: interleaving the low 64 bits makes 128, of which these are the upper. */
export const upper = lift((op, a, b, m) => highOf(op(splat("i64x2", a), splat("i64x2", b), m.f)));

/** `66 opcode /r` on XMM. The first feature words may be empty: SSE itself is always there. */
export const xmmOnly = (mnemonic: string, opcode: string, features: string, op: Binary): Row[] =>
  insn(mnemonic, onXmm(op), `66 ${opcode} /r | rw:xmm, xmmm128 | sse ${features}`);

/** `NP opcode /r` on MMX and `66 opcode /r` on XMM. `features`: what brings the MMX form, then the XMM form ("-" for none). */
export function both(mnemonic: string, opcode: string, features: string, op: Binary, mmx: Lift = lanewise): Row[] {
  const [forMmx = "", forXmm = forMmx] = features.split(" ");
  return [
    ...insn(mnemonic, mmx(op), `NP ${opcode} /r | rw:mm, mmm64 | mmx ${forMmx.replace("-", "")}`),
    ...xmmOnly(mnemonic, opcode, forXmm, op),
  ];
}
