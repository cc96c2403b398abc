/** Compare and exchange of two words (SDM vol. 2, CMPXCHG8B/CMPXCHG16B). Memory is written either way. */
import { select } from "../../wasm/index.ts";
import type { Context, I64, Operand } from "../context.ts";
import { insn } from "../row.ts";

const RAX = 0;
const RCX = 1;
const RDX = 2;
const RBX = 3;

const cmpxchg8b = (m: Context, dst: Operand) => {
  const both = (high: number, low: number) => m.f.let(m.reg(high, 32).extendU().shl(32).or(m.reg(low, 32).extendU()));
  const old = dst.read() as I64;
  const equal = m.f.let(old.eq(both(RDX, RAX)));
  dst.write(m.f.let(select(equal, both(RCX, RBX), old)));
  m.flags.setZf(equal);
  m.f.if(equal.eqz(), () => {
    m.setReg(RAX, 32, old.wrap());
    m.setReg(RDX, 32, old.shrU(32).wrap());
  });
};

/** The operand must be aligned: #GP(0). */
const cmpxchg16b = (m: Context, dst: Operand) => {
  const reg = (number: number) => m.reg(number, 64) as I64;
  const low = dst.linear();
  m.raiseIf(low.wrap().and(15), 13, 0);
  const high = m.f.let(low.add(8));
  m.probeWrite(low, 16);
  const oldLow = m.load(64, low) as I64;
  const oldHigh = m.load(64, high) as I64;
  const equal = m.f.let(oldLow.eq(reg(RAX)).and(oldHigh.eq(reg(RDX))));
  m.store(64, low, m.f.let(select(equal, reg(RBX), oldLow)));
  m.store(64, high, m.f.let(select(equal, reg(RCX), oldHigh)));
  m.flags.setZf(equal);
  m.f.if(equal.eqz(), () => {
    m.setReg(RAX, 64, oldLow);
    m.setReg(RDX, 64, oldHigh);
  });
};

export const EXCHANGE = [
  ...insn("CMPXCHG8B", cmpxchg8b, "W0 0F C7 /1 | rw:m64 | lock"),
  ...insn("CMPXCHG16B", cmpxchg16b, "REX.W 0F C7 /1 | rw:m128 | lock cx16 o64"),
];
