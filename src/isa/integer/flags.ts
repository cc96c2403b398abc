/** Instructions on flags (SDM vol. 1, 5.1.11). CLI, STI, PUSHF and POPF depend on privilege and are with the system. */
import { i32, select } from "../../wasm/index.ts";
import type { Context } from "../context.ts";
import { insn } from "../row.ts";
import { AF, CF, OF, PF, SF, ZF } from "./width.ts";

const DF = 0x400;
/** What LAHF and SAHF move; bit 1 reads as one. */
const LOW_FLAGS = SF | ZF | AF | PF | CF;

const clc = (m: Context) => m.flags.setCf(i32(0));
const stc = (m: Context) => m.flags.setCf(i32(1));
const cmc = (m: Context) => m.flags.setCf(m.f.let(m.flags.cf().xor(1)));
const cld = (m: Context) => m.set("eflags", m.get("eflags").and(~DF));
const std = (m: Context) => m.set("eflags", m.get("eflags").or(DF));

/** AH is the second byte of the accumulator. */
const lahf = (m: Context) => {
  const image = m.flags.get().and(LOW_FLAGS).or(2);
  m.setReg(0, 16, m.reg(0, 8).or(image.shl(8)));
};
const sahf = (m: Context) => {
  const image = m.reg(0, 16).shrU(8).wrap().and(LOW_FLAGS);
  m.flags.set(m.f.let(image.or(m.flags.get().and(OF))));
};

const salc = (m: Context) => m.setReg(0, 8, m.f.let(select(m.flags.cf(), i32(0xff), i32(0))));

export const FLAGS = [
  ...insn("CLC", clc, "F8"),
  ...insn("STC", stc, "F9"),
  ...insn("CMC", cmc, "F5"),
  ...insn("CLD", cld, "FC"),
  ...insn("STD", std, "FD"),
  ...insn("LAHF", lahf, "9F"),
  ...insn("SAHF", sahf, "9E"),
  // Not in the manual, but in every processor: AL becomes all ones or zero, by CF.
  ...insn("SALC", salc, "D6 | | i64"),
];
