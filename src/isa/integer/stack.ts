/** The stack (SDM vol. 1, 5.1.1 and 6.2; vol. 2 PUSH, POP, PUSHA, POPA, ENTER, LEAVE). */
import type { AnyInt, Context, I32, I64, Operand } from "../context.ts";
import { insn } from "../row.ts";
import { resize, unsigned64 } from "./width.ts";

const RSP = 4;
const RBP = 5;
const SS = 2;

/** A value cut to the stack's address size. */
const cutToStack = (m: Context, value: I64): I64 => m.f.let(m.mode64 ? value : value.and(m.get("stackMask", "i64")));

const stackRegister = (m: Context, number: number): I64 => cutToStack(m, m.reg(number, 64) as I64);

/** Only the part of the register within the stack's address size changes. */
const setStackRegister = (m: Context, number: number, value: I64) => {
  if (m.mode64) {
    m.setReg(number, 64, m.f.let(value));
    return;
  }
  const stackMask = m.f.let(m.get("stackMask", "i64"));
  m.setReg(number, 64, m.f.let((m.reg(number, 64) as I64).and(stackMask.not()).or(value.and(stackMask))));
};

/** Moves the stack pointer by `by` bytes. */
export const moveStackPointer = (m: Context, by: I64 | number) => {
  setStackRegister(m, RSP, (m.reg(RSP, 64) as I64).add(by));
};

/** Linear address in the stack segment, `distance` bytes from `base`. */
const inStack = (m: Context, base: I64, distance: number, bytes: number, write: boolean): I64 =>
  m.address(SS, cutToStack(m, base.add(distance)), bytes, write);

/** PUSH rSP pushes the value from before, as it is read first. */
const push = (m: Context, src: Operand) => m.push(m.size, src.read());

/** POP rSP: the value wins over the increment, as it is written last. */
const popRegister = (m: Context, dst: Operand) => {
  const bytes = m.size / 8;
  const value = m.load(m.size, inStack(m, stackRegister(m, RSP), 0, bytes, false));
  moveStackPointer(m, bytes);
  dst.write(value);
};

/**
 * A memory destination that is addressed through rSP takes the value after the increment (SDM vol. 2, POP). So the
 * address is first asked for after the pop; then rSP goes back until the store has been made, as that may fault.
 * Not modelled: a segment or canonical check of that address that fails leaves rSP incremented.
 */
const popOperand = (m: Context, dst: Operand) => {
  if (!dst.isMemory) {
    popRegister(m, dst);
    return;
  }
  const before = m.reg(RSP, 64);
  const value = m.pop(m.size);
  const after = m.reg(RSP, 64);
  const linear = dst.linear();
  m.setReg(RSP, 64, before);
  m.store(m.size, linear, value);
  m.setReg(RSP, 64, after);
};

const pusha = (m: Context) => {
  const bytes = m.size / 8;
  const top = stackRegister(m, RSP);
  for (let n = 0; n < 8; n++) {
    m.store(m.size, inStack(m, top, -bytes * (n + 1), bytes, true), m.reg(n, m.size));
  }
  moveStackPointer(m, -bytes * 8);
};

/** The stored rSP is passed over. */
const popa = (m: Context) => {
  const bytes = m.size / 8;
  const top = stackRegister(m, RSP);
  const values: AnyInt[] = [];
  for (let n = 7; n >= 0; n--) {
    values[n] = n === RSP ? top : m.load(m.size, inStack(m, top, bytes * (7 - n), bytes, false));
  }
  for (let n = 0; n < 8; n++) if (n !== RSP) m.setReg(n, m.size, values[n]!);
  moveStackPointer(m, bytes * 8);
};

/**
 * ENTER: the old frame pointer, for nested procedures the frame pointers of the levels around, and room for variables. No register
 * changes before the last access. As the manual has it, the new top of the stack must be writable.
 */
const enter = (m: Context, room: Operand, nesting: Operand) => {
  const bytes = m.size / 8;
  const top = stackRegister(m, RSP);
  const level = m.f.let(nesting.read().wrap().and(31));
  m.store(m.size, inStack(m, top, -bytes, bytes, true), m.reg(RBP, m.size));
  const frame = m.f.let(top.sub(bytes));
  const low = m.f.variable(frame);
  m.f.if(level.ne(0), () => {
    const outer = m.f.variable(stackRegister(m, RBP));
    const left = m.f.variable(level.sub(1) as I32);
    const advance = () => low.set(low.get().sub(bytes));
    m.f.while(
      () => left.get(),
      () => {
        outer.set(outer.get().sub(bytes));
        const value = m.load(m.size, inStack(m, outer.get(), 0, bytes, false));
        advance();
        m.store(m.size, inStack(m, low.get(), 0, bytes, true), value);
        left.set(left.get().sub(1));
      },
    );
    advance();
    m.store(m.size, inStack(m, low.get(), 0, bytes, true), resize(m.size, frame));
  });
  const bottom = m.f.let(low.get().sub(unsigned64(room.read())));
  m.probeWrite(inStack(m, bottom, 0, bytes, true), bytes);
  // The frame pointer changes at the operand size, cut to the stack's address size.
  m.setReg(RBP, m.size, resize(m.size, cutToStack(m, frame)));
  setStackRegister(m, RSP, bottom);
};

const leave = (m: Context) => {
  const bytes = m.size / 8;
  const frame = stackRegister(m, RBP);
  const saved = m.load(m.size, inStack(m, frame, 0, bytes, false));
  setStackRegister(m, RSP, frame.add(bytes));
  m.setReg(RBP, m.size, saved);
};

export const STACK = [
  ...insn(
    "PUSH",
    push,
    "50 +r | rv | d64 mode\n FF /6 | rmv | d64 mode\n 68 | immz | d64 mode\n 6A | simm8 | d64 mode",
  ),
  ...insn("POP", popRegister, "58 +r | w:rv | d64 mode"),
  ...insn("POP", popOperand, "8F /0 | w:rmv | d64 mode"),
  ...insn("PUSHA", pusha, "60 | | i64 size"),
  ...insn("POPA", popa, "61 | | i64 size"),
  ...insn("ENTER", enter, "C8 | imm16, imm8 | d64 size mode"),
  ...insn("LEAVE", leave, "C9 | | d64 size mode"),
];
