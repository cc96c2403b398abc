/** x87 data transfer between registers, constants, FXAM and sign operations (SDM vol. 1, 5.2.1, 5.2.2, 5.2.5). */
import { i32, i64 } from "../../wasm/index.ts";
import type { ConditionCode, Context, Operand } from "../context.ts";
import { x87 } from "./x87-rows.ts";

const fld = (m: Context, src: Operand) => m.runtime("x87.load", src.number());
const store = (pops: number) => (m: Context, dst: Operand) => m.runtime("x87.store", dst.number(), i32(pops));
const fxch = (m: Context, other: Operand) => m.runtime("x87.exchange", other.number());
const plain = (name: string) => (m: Context) => m.runtime(name);

const free = (pops: number) => (m: Context, register: Operand) => {
  m.runtime("x87.free", register.number());
  if (pops) m.runtime("x87.pop", i32(pops));
};

/** FCMOVcc: the condition is a condition code (B E BE U and their opposites). */
const move = (code: ConditionCode) => (m: Context, src: Operand) =>
  m.runtime("x87.move", m.flags.condition(code), src.number());

/** Mantissa to nearest, mantissa toward zero, exponent (SDM vol. 1, 8.3.4: the internal constants are more exact). */
const constant = (near: bigint, below: bigint, exponent: number) => (m: Context) =>
  m.runtime("x87.constant", i64(near), i64(below), i32(exponent));
const LOG2_10 = constant(0xd49a_784b_cd1b_8afen, 0xd49a_784b_cd1b_8afen, 0x4000);
const LOG2_E = constant(0xb8aa_3b29_5c17_f0bcn, 0xb8aa_3b29_5c17_f0bbn, 0x3fff);
const PI = constant(0xc90f_daa2_2168_c235n, 0xc90f_daa2_2168_c234n, 0x4000);
const LOG10_2 = constant(0x9a20_9a84_fbcf_f799n, 0x9a20_9a84_fbcf_f798n, 0x3ffd);
const LN_2 = constant(0xb172_17f7_d1cf_79acn, 0xb172_17f7_d1cf_79abn, 0x3ffe);
const one = (m: Context) => m.runtime("x87.push", i64(1n << 63n), i32(0x3fff), i32(0));
const zero = (m: Context) => m.runtime("x87.push", i64(0), i32(0), i32(0));

export const X87_STACK = [
  ...x87("FLD", fld, "D9 C0+i | sti"),
  ...x87("FST", store(0), "DD D0+i | w:sti"),
  // The encodings beyond DD D8+i are aliases that processors take.
  ...x87("FSTP", store(1), "DD D8+i | w:sti\n DF D0+i | w:sti\n DF D8+i | w:sti"),
  ...x87("FSTPNCE", (m, dst) => m.runtime("x87.storeUnchecked", dst.number()), "D9 D8+i | w:sti"),
  ...x87("FXCH", fxch, "D9 C8+i | rw:sti\n DD C8+i | rw:sti\n DF C8+i | rw:sti"),
  ...x87("FFREE", free(0), "DD C0+i | w:sti"),
  ...x87("FFREEP", free(1), "DF C0+i | w:sti"),
  ...x87("FINCSTP", (m) => m.runtime("x87.turn", i32(1)), "D9 F7"),
  ...x87("FDECSTP", (m) => m.runtime("x87.turn", i32(-1)), "D9 F6"),
  ...x87("FNOP", () => {}, "D9 D0"),
  ...x87("FCHS", plain("x87.chs"), "D9 E0"),
  ...x87("FABS", plain("x87.abs"), "D9 E1"),
  ...x87("FXAM", plain("x87.examine"), "D9 E5"),
  ...x87("FLD1", one, "D9 E8"),
  ...x87("FLDL2T", LOG2_10, "D9 E9"),
  ...x87("FLDL2E", LOG2_E, "D9 EA"),
  ...x87("FLDPI", PI, "D9 EB"),
  ...x87("FLDLG2", LOG10_2, "D9 EC"),
  ...x87("FLDLN2", LN_2, "D9 ED"),
  ...x87("FLDZ", zero, "D9 EE"),
  ...x87("FCMOVB", move(2), "DA C0+i | [st], sti | cmov"),
  ...x87("FCMOVE", move(4), "DA C8+i | [st], sti | cmov"),
  ...x87("FCMOVBE", move(6), "DA D0+i | [st], sti | cmov"),
  ...x87("FCMOVU", move(10), "DA D8+i | [st], sti | cmov"),
  ...x87("FCMOVNB", move(3), "DB C0+i | [st], sti | cmov"),
  ...x87("FCMOVNE", move(5), "DB C8+i | [st], sti | cmov"),
  ...x87("FCMOVNBE", move(7), "DB D0+i | [st], sti | cmov"),
  ...x87("FCMOVNU", move(11), "DB D8+i | [st], sti | cmov"),
];
