/**
 * Decimal arithmetic (SDM vol. 1, 5.1.3; vol. 2 AAA, AAD, AAM, AAS, DAA, DAS). Not in 64-bit mode. Flags that the
 * architecture leaves undefined are as measured on Intel processors: OF is cleared, SF ZF PF follow AL, AAM clears AF and CF.
 */
import { i32, select } from "../../wasm/index.ts";
import type { Context, I32, Operand } from "../context.ts";
import { insn } from "../row.ts";

const none = i32(0);

/** AAA and AAS: adjusts AX by 0x106 where the low digit overflowed. */
const adjustUnpacked = (sign: 1 | -1) => (m: Context) => {
  const ax = m.reg(0, 16).wrap();
  const overflow = m.f.let(ax.and(15).gtU(9).or(m.flags.af()));
  const adjusted = m.f.let(select(overflow, ax.add(sign * 0x106), ax).and(0xff0f));
  m.setReg(0, 16, adjusted);
  m.flags.result(8, m.f.let(adjusted.and(0xff)), overflow, none, overflow);
};

const aam = (m: Context, base: Operand) => {
  const divisor = base.read().wrap();
  m.raiseIf(divisor.eqz(), 0);
  const al = m.reg(0, 8).wrap();
  const rest = m.f.let(al.remU(divisor));
  m.setReg(0, 16, al.divU(divisor).shl(8).or(rest));
  m.flags.result(8, rest, none, none, none);
};

/** Intel processors set the flags of the addition. */
const aad = (m: Context, base: Operand) => {
  const ax = m.reg(0, 16).wrap();
  const tens = m.f.let(ax.shrU(8).mul(base.read().wrap()).and(0xff));
  m.setReg(0, 16, m.flags.add(8, m.f.let(ax.and(0xff)), tens));
};

/** DAA and DAS: adjusts each digit of AL by 6 where it overflowed. */
const adjustPacked = (sign: 1 | -1) => (m: Context) => {
  const al = m.reg(0, 8).wrap();
  const carry = m.f.let(m.flags.cf());
  const low = m.f.let(al.and(15).gtU(9).or(m.flags.af()));
  const high = m.f.let(al.gtU(0x99).or(carry));
  const change: I32 = low.mul(6).add(high.mul(0x60));
  const result = m.f.let(al.add(change.mul(sign)).and(0xff));
  // DAS also carries when taking 6 from the low digit borrows (SDM vol. 2, DAS).
  const cf = sign === 1 ? high : m.f.let(high.or(low.and(al.ltU(6))));
  m.setReg(0, 8, result);
  m.flags.result(8, result, cf, none, low);
};

export const DECIMAL = [
  ...insn("AAA", adjustUnpacked(1), "37 | | i64"),
  ...insn("AAS", adjustUnpacked(-1), "3F | | i64"),
  ...insn("AAM", aam, "D4 | imm8 | i64"),
  ...insn("AAD", aad, "D5 | imm8 | i64"),
  ...insn("DAA", adjustPacked(1), "27 | | i64"),
  ...insn("DAS", adjustPacked(-1), "2F | | i64"),
];
