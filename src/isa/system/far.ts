/** Far JMP, CALL and RET, software interrupts and IRET (SDM vol. 1, 5.1.7 and 6.4; vol. 2). cpu/system executes them. */
import { i64 } from "../../wasm/index.ts";
import type { AnyInt, Context, I64, Operand } from "../context.ts";
import { unsigned64 } from "../integer/width.ts";
import { insn } from "../row.ts";
import { type OperationName, operation } from "./operation-names.ts";
import { farPointer } from "./segments.ts";

const call = (m: Context, name: OperationName, scratch0: I64, scratch1: I64 = i64(0)) => {
  m.set("scratch0", scratch0);
  m.set("scratch1", scratch1);
  m.set("scratch2", m.nextRip());
  m.runtimeMayFault("system", operation(name));
};

const transfer = (m: Context, name: "far_jump" | "far_call", offset: AnyInt, selector: AnyInt) => {
  const packed = m.f.let(selector.wrap().or(m.size << 16));
  call(m, name, m.f.let(unsigned64(offset)), packed.extendU());
  m.resume();
};
const immediate = (name: "far_jump" | "far_call") => (m: Context, target: Operand) => {
  transfer(m, name, target.read(), target.number());
};
const indirect = (name: "far_jump" | "far_call") => (m: Context, pointer: Operand) => {
  transfer(m, name, ...farPointer(m, pointer));
};

const ret = (m: Context, release?: Operand) => {
  call(m, "far_return", release ? m.f.let(unsigned64(release.read())) : i64(0), i64(m.size));
  m.resume();
};

const interrupt = (m: Context, name: "int_n" | "software_interrupt" | "icebp", vector: I64) => {
  call(m, name, vector);
  m.resume();
};
const into = (m: Context) => {
  m.f.if(m.flags.of(), () => interrupt(m, "software_interrupt", i64(4)));
  m.leave();
};

/** IRETQ to 64-bit code mostly goes the short way. */
const iret = (m: Context) => {
  if (m.mode64 && m.size === 64) m.f.if(m.runtimeFor("i32", "iret64").eqz(), () => m.resume());
  call(m, "iret", i64(m.size));
  m.resume();
};

export const FAR_ROWS = [
  ...insn("JMP", immediate("far_jump"), "EA | ptr16z | i64 end"),
  ...insn("CALL", immediate("far_call"), "9A | ptr16z | i64 end"),
  ...insn("JMP", indirect("far_jump"), "FF /5 | mp | end"),
  ...insn("CALL", indirect("far_call"), "FF /3 | mp | end"),
  ...insn("RETF", (m) => ret(m), "CB | | end size"),
  ...insn("RETF", (m, release) => ret(m, release), "CA | imm16 | end size"),
  ...insn("INT3", (m) => interrupt(m, "software_interrupt", i64(3)), "CC | | end"),
  ...insn("INT", (m, vector) => interrupt(m, "int_n", m.f.let(unsigned64(vector!.read()))), "CD | imm8 | end"),
  ...insn("INTO", into, "CE | | i64"),
  ...insn("INT1", (m) => interrupt(m, "icebp", i64(1)), "F1 | | end"),
  ...insn("IRET", iret, "CF | | end size mode"),
];
