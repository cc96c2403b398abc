/** Single bits, bit scans, counts and checksums (SDM vol. 1, 5.1.6, 5.10, 5.16). */
import { i32, select } from "../../wasm/index.ts";
import type { AnyInt, Bits, Context, I32, I64, Operand } from "../context.ts";
import { insn } from "../row.ts";
import { highUnsigned } from "./product.ts";
import { bit, bits, CF, literal, resize, SF, signed64, unsigned64, ZF } from "./width.ts";

type Change = ((value: AnyInt, one: AnyInt) => AnyInt) | undefined;

const set: Change = (value, one) => value.or(one);
const reset: Change = (value, one) => value.and(one.not());
const complement: Change = (value, one) => value.xor(one);

/** The bit number, modulo the operand size. */
const inside = (m: Context, width: Bits, number: AnyInt): AnyInt => m.f.let(resize(width, number).and(width - 1));

function changeBit(
  m: Context,
  width: Bits,
  change: Change,
  value: AnyInt,
  number: AnyInt,
  write: (value: AnyInt) => void,
) {
  const cf = m.f.let(bit(value, number));
  if (change) write(m.f.let(change(value, literal(width, 1).shl(number))));
  // CF alone is defined; Intel processors leave the others, as here.
  m.flags.setCf(cf);
}

/** The bit number is an immediate, or the operand a register: it is taken modulo the operand size. */
const bitInside = (change: Change) => (m: Context, dst: Operand, src: Operand) => {
  const width = bits(dst);
  changeBit(m, width, change, dst.read(), inside(m, width, src.read()), (value) => dst.write(value));
};

/**
 * The bit number is a register: in memory it is a signed distance, and the operand-sized unit that holds the bit
 * is read and written (SDM vol. 2, BT; table 3-2).
 */
const bitAnywhere = (change: Change) => (m: Context, dst: Operand, src: Operand) => {
  if (!dst.isMemory) {
    bitInside(change)(m, dst, src);
    return;
  }
  const width = bits(dst);
  const number = src.read();
  const shift = width === 64 ? 6 : width === 32 ? 5 : 4;
  const displacement = signed64(width, number)
    .shrS(shift)
    .shl(shift - 3);
  const linear = dst.linearAt(m.f.let(displacement));
  changeBit(m, width, change, m.load(width, linear, change !== undefined), inside(m, width, number), (value) =>
    m.store(width, linear, value),
  );
};

/**
 * BSF and BSR of zero leave the destination alone, all 64 bits of it. The flags the architecture leaves undefined
 * are as measured on Intel processors: PF from the result, the rest zero.
 */
const scan = (find: (value: AnyInt, width: Bits) => AnyInt) => (m: Context, dst: Operand, src: Operand) => {
  const width = bits(dst);
  const value = src.read();
  const found = m.f.let(find(value, width));
  m.f.if(value.eqz().eqz(), () => dst.write(found));
  // A number that is zero where the source is, has the result's low byte, and no sign.
  m.flags.logic(32, m.f.let(select(value.eqz(), i32(0), found.wrap().or(0x100))));
};

const lowest = (value: AnyInt) => value.ctz();
const highest = (value: AnyInt) =>
  literal(value.type === "i64" ? 64 : 32, value.type === "i64" ? 63 : 31).xor(value.clz());

/** TZCNT and LZCNT: CF for a zero source, ZF for a zero count; the others, undefined, are cleared as on Intel processors. */
const countZeros = (find: (value: AnyInt, width: Bits) => AnyInt) => (m: Context, dst: Operand, src: Operand) => {
  const width = bits(dst);
  const value = src.read();
  const found = m.f.let(find(value, width));
  dst.write(found);
  m.flags.set(m.f.let(value.eqz().or(found.eqz().mul(ZF))));
};

const trailing = (value: AnyInt, width: Bits) => (width === 16 ? value.or(0x1_0000).ctz() : value.ctz());
const leading = (value: AnyInt, width: Bits) => (width === 16 ? value.clz().sub(16) : value.clz());

const popcnt = (m: Context, dst: Operand, src: Operand) => {
  const value = src.read();
  dst.write(value.popcnt());
  m.flags.set(m.f.let(value.eqz().mul(ZF)));
};

const crc32 = (m: Context, dst: Operand, src: Operand) => {
  const data = unsigned64(src.read());
  const crc = m.runtimeFor("i32", "crc32c", dst.read().wrap(), data, i32(bits(src) / 8));
  dst.write(resize(bits(dst), crc));
};

/** Sum and carry of two operands and a carry. */
function addWithCarry(m: Context, a: AnyInt, b: AnyInt, carry: I32): [sum: AnyInt, carry: I32] {
  const partial = m.f.let(a.add(b));
  const sum = m.f.let(partial.add(resize(a.type === "i64" ? 64 : 32, carry)));
  return [sum, m.f.let(partial.ltU(a).or(sum.ltU(partial)))];
}

const adcx = (m: Context, dst: Operand, src: Operand) => {
  const [sum, carry] = addWithCarry(m, dst.read(), src.read(), m.f.let(m.flags.cf()));
  dst.write(sum);
  m.flags.setCf(carry);
};
const adox = (m: Context, dst: Operand, src: Operand) => {
  const cf = m.f.let(m.flags.cf());
  const [sum, carry] = addWithCarry(m, dst.read(), src.read(), m.f.let(m.flags.of()));
  dst.write(sum);
  m.flags.setCfOf(cf, carry);
};

/** Flags of BMI1 and BMI2: SF and ZF from the result, CF as given; OF is 0, and so are AF and PF, which are undefined. */
function bmiFlags(m: Context, width: Bits, result: AnyInt, cf: I32 = i32(0)) {
  const sign = bit(result, width - 1).mul(SF);
  m.flags.set(m.f.let(result.eqz().mul(ZF).or(sign).or(cf.mul(CF))));
}

const andn = (m: Context, dst: Operand, inverted: Operand, src: Operand) => {
  const result = m.f.let(inverted.read().not().and(src.read()));
  dst.write(result);
  bmiFlags(m, bits(dst), result);
};

/** BLSR, BLSMSK and BLSI: all of the source and its neighbour; CF by whether the source is zero. */
const lowestBit =
  (compute: (value: AnyInt, width: Bits) => AnyInt, carryIfZero: boolean) =>
  (m: Context, dst: Operand, src: Operand) => {
    const value = src.read();
    const result = m.f.let(compute(value, bits(dst)));
    dst.write(result);
    bmiFlags(m, bits(dst), result, carryIfZero ? value.eqz() : value.eqz().eqz());
  };

const bextr = (m: Context, dst: Operand, src: Operand, control: Operand) => {
  const width = bits(dst);
  const value = src.read();
  const range = control.read().wrap();
  const start = m.f.let(range.and(0xff));
  const length = m.f.let(range.shrU(8).and(0xff));
  const from = select<AnyInt>(start.ltU(width), value.shrU(resize(width, start)), literal(width, 0));
  const kept = literal(width, 1).shl(resize(width, length)).sub(1);
  const result = m.f.let(select<AnyInt>(length.ltU(width), from.and(kept), from));
  dst.write(result);
  // SF is undefined, and zero on Intel processors.
  m.flags.set(m.f.let(result.eqz().mul(ZF)));
};

const bzhi = (m: Context, dst: Operand, src: Operand, index: Operand) => {
  const width = bits(dst);
  const value = src.read();
  const from = m.f.let(index.read().wrap().and(0xff));
  const kept = literal(width, 1).shl(resize(width, from)).sub(1);
  const result = m.f.let(select<AnyInt>(from.ltU(width), value.and(kept), value));
  dst.write(result);
  bmiFlags(m, width, result, from.geU(width));
};

/** Where both destinations are one register, it gets the high half. */
const mulx = (m: Context, high: Operand, low: Operand, src: Operand) => {
  const a = m.reg(2, bits(src));
  const b = src.read();
  if (bits(src) === 64) {
    const upper = highUnsigned(m.f, a as I64, b as I64);
    low.write(m.f.let(a.mul(b)));
    high.write(upper);
    return;
  }
  const product = m.f.let(a.extendU().mul(b.extendU()));
  low.write(product.wrap());
  high.write(product.shrU(32).wrap());
};

const bitsByMask = (name: string) => (m: Context, dst: Operand, src: Operand, places: Operand) => {
  const result = m.runtimeFor("i64", name, unsigned64(src.read()), unsigned64(places.read()));
  dst.write(resize(bits(dst), result));
};

const rorx = (_: Context, dst: Operand, src: Operand, by: Operand) =>
  dst.write(src.read().rotr(resize(bits(dst), by.read())));

/** Shifts without flags; the count is taken modulo the operand size, as WebAssembly does. */
const shiftx = (direction: "shl" | "shrU" | "shrS") => (_: Context, dst: Operand, src: Operand, by: Operand) =>
  dst.write(src.read()[direction](by.read()));

const bitTest = (mnemonic: string, opcode: string, digit: number, change: Change) => {
  const marks = change ? "rw:" : "";
  const lock = change ? "| lock" : "";
  return [
    ...insn(mnemonic, bitAnywhere(change), `0F ${opcode} /r | ${marks}rmv, rv ${lock}`),
    ...insn(mnemonic, bitInside(change), `0F BA /${digit} | ${marks}rmv, imm8 ${lock}`),
  ];
};

export const BITS = [
  ...bitTest("BT", "A3", 4, undefined),
  ...bitTest("BTS", "AB", 5, set),
  ...bitTest("BTR", "B3", 6, reset),
  ...bitTest("BTC", "BB", 7, complement),
  // The destination is read, as it may stay.
  ...insn("BSF", scan(lowest), "0F BC /r | rw:rv, rmv"),
  ...insn("BSR", scan(highest), "0F BD /r | rw:rv, rmv"),
  ...insn("TZCNT", countZeros(trailing), "F3 0F BC /r | w:rv, rmv | bmi1"),
  ...insn("LZCNT", countZeros(leading), "F3 0F BD /r | w:rv, rmv | lzcnt"),
  ...insn("POPCNT", popcnt, "F3 0F B8 /r | w:rv, rmv | popcnt"),
  ...insn("CRC32", crc32, "F2 0F 38 F0 /r | rw:ry, rm8 | sse42\n F2 0F 38 F1 /r | rw:ry, rmv | sse42"),
  ...insn("ADCX", adcx, "66 0F 38 F6 /r | rw:ry, rmy | adx"),
  ...insn("ADOX", adox, "F3 0F 38 F6 /r | rw:ry, rmy | adx"),
  ...insn("ANDN", andn, "VEX.L0.NP.0F38 F2 /r | w:ry, vy, rmy | bmi1"),
  ...insn(
    "BLSR",
    lowestBit((value) => value.and(value.sub(1)), true),
    "VEX.L0.NP.0F38 F3 /1 | w:vy, rmy | bmi1",
  ),
  ...insn(
    "BLSMSK",
    lowestBit((value) => value.xor(value.sub(1)), true),
    "VEX.L0.NP.0F38 F3 /2 | w:vy, rmy | bmi1",
  ),
  ...insn(
    "BLSI",
    lowestBit((value, width) => value.and(literal(width, 0).sub(value)), false),
    "VEX.L0.NP.0F38 F3 /3 | w:vy, rmy | bmi1",
  ),
  ...insn("BEXTR", bextr, "VEX.L0.NP.0F38 F7 /r | w:ry, rmy, vy | bmi1"),
  ...insn("BZHI", bzhi, "VEX.L0.NP.0F38 F5 /r | w:ry, rmy, vy | bmi2"),
  ...insn("MULX", mulx, "VEX.L0.F2.0F38 F6 /r | w:ry, w:vy, rmy | bmi2"),
  ...insn("PDEP", bitsByMask("deposit_bits"), "VEX.L0.F2.0F38 F5 /r | w:ry, vy, rmy | bmi2"),
  ...insn("PEXT", bitsByMask("extract_bits"), "VEX.L0.F3.0F38 F5 /r | w:ry, vy, rmy | bmi2"),
  ...insn("RORX", rorx, "VEX.L0.F2.0F3A F0 /r | w:ry, rmy, imm8 | bmi2"),
  ...insn("SARX", shiftx("shrS"), "VEX.L0.F3.0F38 F7 /r | w:ry, rmy, vy | bmi2"),
  ...insn("SHLX", shiftx("shl"), "VEX.L0.66.0F38 F7 /r | w:ry, rmy, vy | bmi2"),
  ...insn("SHRX", shiftx("shrU"), "VEX.L0.F2.0F38 F7 /r | w:ry, rmy, vy | bmi2"),
];
