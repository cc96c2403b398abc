/** Moves, conversions of width, conditional moves (SDM vol. 1, 5.1.1). */
import { select } from "../../wasm/index.ts";
import type { AnyInt, Bits, ConditionCode, Context, Operand } from "../context.ts";
import { insn } from "../row.ts";
import { addressRegister, bits, cut, extendTo, mask, resize } from "./width.ts";

const mov = (_: Context, dst: Operand, src: Operand) => dst.write(src.read());

/** Only six segment registers exist; reading another is undefined. A register gets the selector zero-extended. */
const movFromSegment = (m: Context, dst: Operand, src: Operand) => {
  const number = src.number();
  m.raiseIf(number.gtU(5), 6);
  let selector = m.get("gs.selector");
  ["fs", "ds", "ss", "cs", "es"].forEach((name, i) => {
    selector = select(number.eq(4 - i), m.get(`${name}.selector`), selector);
  });
  dst.write(resize(bits(dst), m.f.let(selector)));
};

const movzx = (_: Context, dst: Operand, src: Operand) => dst.write(resize(bits(dst), src.read()));
const movsx = (_: Context, dst: Operand, src: Operand) => dst.write(extendTo(bits(dst), bits(src), src.read()));

const lea = (_: Context, dst: Operand, src: Operand) => dst.write(resize(bits(dst), src.offset()));

const xchg = (_: Context, a: Operand, b: Operand) => {
  const first = a.read();
  const second = b.read();
  a.write(second);
  b.write(first);
};

const xlat = (m: Context) => {
  const offset = addressRegister(m, 3).add(m.reg(0, 8).extendU());
  const wrapped = m.addressSize === 64 ? offset : offset.and(m.addressSize === 32 ? 0xffff_ffff : 0xffff);
  m.setReg(0, 8, m.load(8, m.address(m.dataSegment(), m.f.let(wrapped), 1, false)));
};

/** The bytes of a value in opposite order. */
export function swapBytes(m: Context, width: Bits, value: AnyInt): AnyInt {
  if (width === 16) return cut(16, value.shl(8).or(value.shrU(8)));
  if (width === 32) return value.rotl(8).and(0x00ff_00ff).or(value.rotr(8).and(0xff00_ff00));
  const bytes = 0x00ff00ff_00ff00ffn;
  const words = 0x0000ffff_0000ffffn;
  const swapped = m.f.let(value.shrU(8).and(bytes).or(value.and(bytes).shl(8)));
  return m.f.let(swapped.shrU(16).and(words).or(swapped.and(words).shl(16)).rotl(32));
}

/** With 16 bits the result is undefined (SDM vol. 2, BSWAP); Intel processors give zero. */
const bswap = (m: Context, dst: Operand) => {
  const value = dst.read();
  dst.write(bits(dst) === 16 ? value.xor(value) : swapBytes(m, bits(dst), value));
};

const movbe = (m: Context, dst: Operand, src: Operand) => dst.write(swapBytes(m, bits(dst), src.read()));

/** The source is read, and a 32-bit destination loses its upper half, whether or not the condition holds. */
const cmov = (code: ConditionCode) => (m: Context, dst: Operand, src: Operand) => {
  const value = src.read();
  dst.write(select(m.flags.condition(code), value, dst.read()));
};

const setcc = (code: ConditionCode) => (m: Context, dst: Operand) => dst.write(m.flags.condition(code));

/** CBW, CWDE, CDQE: the accumulator from its lower half. */
const cbw = (m: Context) => {
  const half = (m.size / 2) as Bits;
  m.setReg(0, m.size, extendTo(m.size, half, m.reg(0, half)));
};

/** CWD, CDQ, CQO: the data register filled with the accumulator's sign. */
const cwd = (m: Context) => {
  const value = extendTo(m.size, m.size, m.reg(0, m.size));
  m.setReg(2, m.size, value.shrS(value.type === "i64" ? 63 : 31).and(mask(m.size)));
};

/** Suffixes in encoding order (SDM vol. 1, appendix B). */
export const CONDITIONS = "O NO B NB Z NZ BE NBE S NS P NP L NL LE NLE".split(" ");

/** One row per condition: its mnemonic's stem, and the encodings for the condition's low opcode digit. */
export const conditional = (
  stem: string,
  meaning: (code: ConditionCode) => (m: Context, ...operands: Operand[]) => void,
  encodings: (digit: string) => string,
) =>
  CONDITIONS.flatMap((name, code) =>
    insn(stem + name, meaning(code as ConditionCode), encodings(code.toString(16).toUpperCase())),
  );

export const MOVES = [
  ...insn(
    "MOV",
    mov,
    `
    88 /r  | w:rm8, r8
    89 /r  | w:rmv, rv
    8A /r  | w:r8, rm8
    8B /r  | w:rv, rmv
    A0     | w:al, moffs8
    A1     | w:av, moffsv
    A2     | w:moffs8, al
    A3     | w:moffsv, av
    B0 +r  | w:r8, imm8
    B8 +r  | w:rv, immv
    C6 /0  | w:rm8, imm8
    C7 /0  | w:rmv, immz
    `,
  ),
  ...insn("MOV", movFromSegment, "8C /r | w:rvrm, sreg\n 8C /r | w:m16, sreg"),
  ...insn("MOVZX", movzx, "0F B6 /r | w:rv, rm8\n 0F B7 /r | w:rv, rm16"),
  ...insn("MOVSX", movsx, "0F BE /r | w:rv, rm8\n 0F BF /r | w:rv, rm16"),
  ...insn("MOVSXD", movsx, "63 /r | w:rv, rmz | o64"),
  ...insn("LEA", lea, "8D /r | w:rv, m"),
  ...insn("XCHG", xchg, "86 /r | rw:rm8, rw:r8 | lock\n 87 /r | rw:rmv, rw:rv | lock\n 90 +r | rw:rv, rw:av"),
  ...insn("XLAT", xlat, "D7 | [table8] | asize"),
  ...insn("BSWAP", bswap, "0F C8 +r | rw:rv"),
  ...insn("MOVBE", movbe, "NFx 0F 38 F0 /r | w:rv, mv | movbe\n NFx 0F 38 F1 /r | w:mv, rv | movbe"),
  ...conditional("CMOV", cmov, (digit) => `0F 4${digit} /r | rw:rv, rmv`),
  ...conditional("SET", setcc, (digit) => `0F 9${digit} /r | w:rm8`),
  ...insn("CBW", cbw, "98 | | size"),
  ...insn("CWD", cwd, "99 | | size"),
];
