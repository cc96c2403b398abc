/**
 * Near transfers of control (SDM vol. 1, 5.1.7 and 6.4). In 64-bit mode the operand size is always 64: Intel processors
 * ignore a 66 prefix here. A target that fails its check faults with nothing changed.
 */
import { i32 } from "../../wasm/index.ts";
import type { ConditionCode, Context, I32, Operand } from "../context.ts";
import { insn } from "../row.ts";
import { conditional } from "./moves.ts";
import { moveStackPointer } from "./stack.ts";
import { resize, signed64, unsigned64 } from "./width.ts";

const jmp = (m: Context) => m.jumpRelative();
const jmpIndirect = (m: Context, target: Operand) => m.jump(unsigned64(target.read()));

const pushReturn = (m: Context) => m.push(m.size, resize(m.size, m.nextRip()));

const call = (m: Context) => {
  pushReturn(m);
  m.jumpRelative(undefined, () => moveStackPointer(m, m.size / 8));
};

const callIndirect = (m: Context, operand: Operand) => {
  const target = unsigned64(operand.read());
  pushReturn(m);
  m.jump(target, () => moveStackPointer(m, m.size / 8));
};

const ret = (m: Context) => {
  const target = unsigned64(m.pop(m.size));
  m.jump(target, () => moveStackPointer(m, -m.size / 8));
};

const retAndRelease = (m: Context, operand: Operand) => {
  const room = m.f.let(unsigned64(operand.read()));
  const target = unsigned64(m.pop(m.size));
  moveStackPointer(m, room);
  m.jump(target, () => moveStackPointer(m, signed64(32, i32(-m.size / 8)).sub(room)));
};

const jcc = (code: ConditionCode) => (m: Context) => m.jumpRelative(m.flags.condition(code));

const jcxz = (m: Context) => m.jumpRelative(m.reg(1, m.addressSize).eqz());

/** LOOP counts down at the address size; `also` is the further condition. No flag changes. */
const loop = (also?: (m: Context) => I32) => (m: Context) => {
  const left = m.f.let(m.reg(1, m.addressSize).sub(1));
  const more = m.addressSize === 16 ? left.and(0xffff).eqz().eqz() : left.eqz().eqz();
  const condition = m.f.let(also ? more.and(also(m)) : more);
  m.setReg(1, m.addressSize, left);
  m.jumpRelative(condition, () => m.setReg(1, m.addressSize, left.add(1)));
};

export const CONTROL = [
  ...insn("JMP", jmp, "EB | rel8 | f64 end size mode\n E9 | relz | f64 end size mode"),
  ...insn("JMP", jmpIndirect, "FF /4 | rmv | f64 end mode"),
  ...insn("CALL", call, "E8 | relz | f64 end size mode"),
  ...insn("CALL", callIndirect, "FF /2 | rmv | f64 end mode"),
  ...insn("RET", ret, "C3 | | f64 end size mode"),
  ...insn("RET", retAndRelease, "C2 | imm16 | f64 end size mode"),
  ...conditional("J", jcc, (digit) => `7${digit} | rel8 | f64 size mode\n 0F 8${digit} | relz | f64 size mode`),
  ...insn("JCXZ", jcxz, "E3 | rel8 | f64 size asize mode"),
  ...insn(
    "LOOPNZ",
    loop((m) => m.flags.zf().eqz()),
    "E0 | rel8 | f64 size asize mode",
  ),
  ...insn(
    "LOOPZ",
    loop((m) => m.flags.zf()),
    "E1 | rel8 | f64 size asize mode",
  ),
  ...insn("LOOP", loop(), "E2 | rel8 | f64 size asize mode"),
];
