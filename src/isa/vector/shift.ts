/** Shifts of lanes and of whole registers (SDM vol. 1, 5.4.6, 5.6.3). A count too large gives zero, or the sign alone. */
import { type I32, type I64, i64, select, type Vec } from "../../wasm/index.ts";
import type { Context, Meaning, Operand } from "../context.ts";
import { insn, type Row } from "../row.ts";
import { read32, read64 } from "./forms.ts";
import { writeMmx } from "./mmx.ts";
import { lowOf, shiftDown, shiftUp, splat, ZERO } from "./value.ts";

type Shape = "i16x8" | "i32x4" | "i64x2";
type Shift = "shl" | "shr_s" | "shr_u";
const BITS = { i16x8: 16, i32x4: 32, i64x2: 64 };

function shift(m: Context, shape: Shape, how: Shift, value: Vec, count: I64): Vec {
  const last = BITS[shape] - 1;
  const small = count.leU(last);
  if (how === "shr_s") return value.op(`${shape}.shr_s`, m.f.let(select(small, count, i64(last)).wrap()));
  return select(small, value.op(`${shape}.${how}`, count.wrap()), ZERO);
}

const byVector =
  (shape: Shape, how: Shift): Meaning =>
  (m, dst, src) => {
    const value = dst!.readVec();
    dst!.writeVec(shift(m, shape, how, value, m.f.let(lowOf(src!.readVec()))));
  };
const byImmediate =
  (shape: Shape, how: Shift): Meaning =>
  (m, dst, imm) =>
    dst!.writeVec(shift(m, shape, how, dst!.readVec(), read32(imm!).extendU()));
const mmxBy =
  (shape: Shape, how: Shift): Meaning =>
  (m, dst, count) => {
    const value = splat("i64x2", read64(dst!));
    const by = count!.bits === 64 ? read64(count!) : read32(count!).extendU();
    writeMmx(m, dst!, lowOf(shift(m, shape, how, value, by)));
  };

/** One shift: by a register or memory (`byCount` the opcode), and by an immediate (`group` opcode, `digit`). */
function shifts(name: string, shape: Shape, how: Shift, byCount: string, group: string, digit: number): Row[] {
  return [
    ...insn(
      name,
      mmxBy(shape, how),
      `NP 0F ${byCount} /r | rw:mm, mmm64 | mmx
       NP 0F ${group} /${digit} | rw:mmrm, imm8 | mmx`,
    ),
    ...insn(name, byVector(shape, how), `66 0F ${byCount} /r | rw:xmm, xmmm128 | sse sse2`),
    ...insn(name, byImmediate(shape, how), `66 0F ${group} /${digit} | rw:xmmrm, imm8 | sse sse2`),
  ];
}

const wholeBy =
  (move: (value: Vec, bytes: I32) => Vec): Meaning =>
  (_: Context, dst?: Operand, imm?: Operand) =>
    dst!.writeVec(move(dst!.readVec(), read32(imm!)));

export const SHIFTS = [
  ...shifts("PSRLW", "i16x8", "shr_u", "D1", "71", 2),
  ...shifts("PSRLD", "i32x4", "shr_u", "D2", "72", 2),
  ...shifts("PSRLQ", "i64x2", "shr_u", "D3", "73", 2),
  ...shifts("PSRAW", "i16x8", "shr_s", "E1", "71", 4),
  ...shifts("PSRAD", "i32x4", "shr_s", "E2", "72", 4),
  ...shifts("PSLLW", "i16x8", "shl", "F1", "71", 6),
  ...shifts("PSLLD", "i32x4", "shl", "F2", "72", 6),
  ...shifts("PSLLQ", "i64x2", "shl", "F3", "73", 6),
  ...insn("PSRLDQ", wholeBy(shiftDown), "66 0F 73 /3 | rw:xmmrm, imm8 | sse sse2"),
  ...insn("PSLLDQ", wholeBy(shiftUp), "66 0F 73 /7 | rw:xmmrm, imm8 | sse sse2"),
];
