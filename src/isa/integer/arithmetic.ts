/** Binary and decimal arithmetic (SDM vol. 1, 5.1.2 and 5.1.3). */
import type { AnyInt, Bits, Context, Operand } from "../context.ts";
import { insn } from "../row.ts";

const bits = (o: Operand) => o.bits as Bits;

const add = (m: Context, dst: Operand, src: Operand) => dst.write(m.flags.add(bits(dst), dst.read(), src.read()));
const or = (m: Context, dst: Operand, src: Operand) => dst.write(m.flags.logic(bits(dst), dst.read().or(src.read())));
const adc = (m: Context, dst: Operand, src: Operand) => dst.write(m.flags.adc(bits(dst), dst.read(), src.read()));
const sbb = (m: Context, dst: Operand, src: Operand) => dst.write(m.flags.sbb(bits(dst), dst.read(), src.read()));
const and = (m: Context, dst: Operand, src: Operand) => dst.write(m.flags.logic(bits(dst), dst.read().and(src.read())));
const sub = (m: Context, dst: Operand, src: Operand) => dst.write(m.flags.sub(bits(dst), dst.read(), src.read()));
const xor = (m: Context, dst: Operand, src: Operand) => dst.write(m.flags.logic(bits(dst), dst.read().xor(src.read())));
const cmp = (m: Context, a: Operand, b: Operand) => {
  m.flags.sub(bits(a), a.read(), b.read());
};

/** The eight operations that share one layout of encodings; `base` is the opcode of the first. */
function alu(mnemonic: string, base: number, digit: number, meaning: (m: Context, a: Operand, b: Operand) => void) {
  const opcode = (n: number) => (base + n).toString(16).toUpperCase().padStart(2, "0");
  const rw = meaning === cmp ? "" : "rw:";
  const lock = meaning === cmp ? "" : "lock";
  return insn(
    mnemonic,
    meaning,
    `
    ${opcode(0)} /r    | ${rw}rm8, r8    | ${lock}
    ${opcode(1)} /r    | ${rw}rmv, rv    | ${lock}
    ${opcode(2)} /r    | ${rw}r8, rm8
    ${opcode(3)} /r    | ${rw}rv, rmv
    ${opcode(4)}       | ${rw}al, imm8
    ${opcode(5)}       | ${rw}av, immz
    80 /${digit}       | ${rw}rm8, imm8  | ${lock}
    81 /${digit}       | ${rw}rmv, immz  | ${lock}
    82 /${digit}       | ${rw}rm8, imm8  | ${lock} i64
    83 /${digit}       | ${rw}rmv, simm8 | ${lock}
    `,
  );
}

const inc = (m: Context, dst: Operand) => dst.write(m.flags.inc(bits(dst), dst.read()));
const dec = (m: Context, dst: Operand) => dst.write(m.flags.dec(bits(dst), dst.read()));

const neg = (m: Context, dst: Operand) => {
  const value = dst.read();
  dst.write(m.flags.sub(bits(dst), value.sub(value), value));
};

const test = (m: Context, a: Operand, b: Operand) => {
  m.flags.logic(bits(a), a.read().and(b.read()));
};
const not = (_: Context, dst: Operand) => dst.write(dst.read().not());

const xadd = (m: Context, dst: Operand, src: Operand) => {
  const old = dst.read();
  const addend = src.read();
  const sum = m.flags.add(bits(dst), old, addend);
  // With one register in both places the sum wins.
  if (dst.isMemory) {
    dst.write(sum);
    src.write(old);
  } else {
    src.write(old);
    dst.write(sum);
  }
};

const cmpxchg = (m: Context, dst: Operand, src: Operand) => {
  const size = bits(dst);
  const old = dst.read();
  const accumulator = m.reg(0, size);
  const replacement = src.read();
  const equal = m.f.let(old.eq(accumulator));
  // Memory is written either way, with its old value when the comparison fails.
  if (dst.isMemory)
    dst.write(
      m.f.choose<AnyInt>(
        equal,
        () => replacement,
        () => old,
      ),
    );
  m.flags.sub(size, accumulator, old);
  m.f.if(
    equal,
    () => {
      if (!dst.isMemory) dst.write(replacement);
    },
    () => m.setReg(0, size, old),
  );
};

export const ARITHMETIC = [
  ...alu("ADD", 0x00, 0, add),
  ...alu("OR", 0x08, 1, or),
  ...alu("ADC", 0x10, 2, adc),
  ...alu("SBB", 0x18, 3, sbb),
  ...alu("AND", 0x20, 4, and),
  ...alu("SUB", 0x28, 5, sub),
  ...alu("XOR", 0x30, 6, xor),
  ...alu("CMP", 0x38, 7, cmp),
  ...insn(
    "INC",
    inc,
    `
    FE /0  | rw:rm8 | lock
    FF /0  | rw:rmv | lock
    40 +r  | rw:rv  | i64
    `,
  ),
  ...insn(
    "DEC",
    dec,
    `
    FE /1  | rw:rm8 | lock
    FF /1  | rw:rmv | lock
    48 +r  | rw:rv  | i64
    `,
  ),
  ...insn("NEG", neg, "F6 /3 | rw:rm8 | lock\n F7 /3 | rw:rmv | lock"),
  ...insn("NOT", not, "F6 /2 | rw:rm8 | lock\n F7 /2 | rw:rmv | lock"),
  ...insn(
    "TEST",
    test,
    `
    84 /r  | rm8, r8
    85 /r  | rmv, rv
    A8     | al, imm8
    A9     | av, immz
    F6 /0  | rm8, imm8
    F6 /1  | rm8, imm8
    F7 /0  | rmv, immz
    F7 /1  | rmv, immz
    `,
  ),
  ...insn("XADD", xadd, "0F C0 /r | rw:rm8, rw:r8 | lock\n 0F C1 /r | rw:rmv, rw:rv | lock"),
  ...insn("CMPXCHG", cmpxchg, "0F B0 /r | rw:rm8, r8 | lock\n 0F B1 /r | rw:rmv, rv | lock"),
];
