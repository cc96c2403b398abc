/**
 * Multiplication and division (SDM vol. 1, 5.1.2).
 *
 * Multiplications leave SF, ZF, AF and PF undefined; here they follow the low half of the product (as on Intel processors, but that
 * these clear ZF even for zero). Divisions leave all six flags undefined; here, as on Intel processors, they stay.
 */
import { i32, i64 } from "../../wasm/index.ts";
import type { AnyInt, Bits, Context, I32, I64, Operand } from "../context.ts";
import { insn } from "../row.ts";
import { highSigned, highUnsigned } from "./product.ts";
import { bits, cut, resize, signed, signed64, unsigned64 } from "./width.ts";

/** The low half to the accumulator, the high half to AH or the data register; CF and OF where the high half matters. */
function writeProduct(m: Context, width: Bits, low: AnyInt, high: AnyInt, matters: I32) {
  const lost = m.f.let(matters);
  if (width === 8) m.setReg(0, 16, low.or(high.shl(8)));
  else {
    m.setReg(2, width, high);
    m.setReg(0, width, low);
  }
  m.flags.result(width, low, lost, lost);
}

const mul = (m: Context, src: Operand) => {
  const width = bits(src);
  const a = m.reg(0, width);
  const b = src.read();
  if (width === 64) {
    const high = highUnsigned(m.f, a as I64, b as I64);
    writeProduct(m, 64, m.f.let(a.mul(b)), high, high.nez());
    return;
  }
  const product = m.f.let(unsigned64(a).mul(unsigned64(b)));
  const high = m.f.let(cut(width, product.shrU(width).wrap()));
  writeProduct(m, width, m.f.let(cut(width, product.wrap())), high, high.nez());
};

const imul = (m: Context, src: Operand) => {
  const width = bits(src);
  const a = m.reg(0, width);
  const b = src.read();
  if (width === 64) {
    const high = highSigned(m.f, a as I64, b as I64);
    const low = m.f.let(a.mul(b));
    writeProduct(m, 64, low, high, high.ne(low.shrS(63) as I64));
    return;
  }
  const product = m.f.let(signed64(width, a).mul(signed64(width, b)));
  const low = m.f.let(cut(width, product.wrap()));
  const high = m.f.let(cut(width, product.shrU(width).wrap()));
  writeProduct(m, width, low, high, product.ne(signed64(width, low)));
};

function truncatingMultiply(m: Context, dst: Operand, a: AnyInt, b: AnyInt) {
  const width = bits(dst);
  if (width === 64) {
    const low = m.f.let(a.mul(b));
    // Factors of 32 bits cannot overflow; only others need the high half.
    const small = a.eq(a.extendS()).and(b.eq(b.extendS()));
    const lost = m.f.choose<I32>(
      small,
      () => i32(0),
      () => highSigned(m.f, a as I64, b as I64).ne(low.shrS(63) as I64),
    );
    dst.write(low);
    m.flags.result(64, low, lost, lost);
    return;
  }
  const product = m.f.let(signed64(width, a).mul(signed64(width, b)));
  const low = m.f.let(cut(width, product.wrap()));
  const lost = m.f.let(product.ne(signed64(width, low)));
  dst.write(low);
  m.flags.result(width, low, lost, lost);
}

const imul2 = (m: Context, dst: Operand, src: Operand) => truncatingMultiply(m, dst, dst.read(), src.read());
const imul3 = (m: Context, dst: Operand, a: Operand, b: Operand) => truncatingMultiply(m, dst, a.read(), b.read());

const writeQuotient = (m: Context, width: Bits, quotient: AnyInt, remainder: AnyInt) => {
  if (width === 8) {
    m.setReg(0, 16, quotient.and(0xff).or(remainder.shl(8)));
    return;
  }
  m.setReg(0, width, resize(width, quotient));
  m.setReg(2, width, resize(width, remainder));
};

/** What is divided, for operands under 64 bits: AX, or the data register above the accumulator. */
const dividend = (m: Context, width: Bits): I64 =>
  m.f.let(
    width === 8
      ? unsigned64(m.reg(0, 16))
      : unsigned64(m.reg(2, width))
          .shl(width)
          .or(unsigned64(m.reg(0, width))),
  );

/** #DE for a zero divisor or a quotient that does not fit. */
const div = (m: Context, src: Operand) => {
  const width = bits(src);
  const divisor = m.f.let(unsigned64(src.read()));
  if (width === 64) {
    const high = m.reg(2, 64) as I64;
    const low = m.reg(0, 64) as I64;
    // Covers a zero divisor too.
    m.raiseIf(high.geU(divisor), 0);
    const quotient = m.f.choose<I64>(
      high.eqz(),
      () => low.divU(divisor),
      () => m.runtimeFor("i64", "divide_128", high, low, divisor),
    );
    writeQuotient(m, 64, quotient, m.f.let(low.sub(quotient.mul(divisor))));
    return;
  }
  const value = dividend(m, width);
  m.raiseIf(value.shrU(width).geU(divisor), 0);
  const quotient = m.f.let(value.divU(divisor));
  writeQuotient(m, width, quotient.wrap(), value.sub(quotient.mul(divisor)).wrap());
};

const idiv = (m: Context, src: Operand) => {
  const width = bits(src);
  const divisor = m.f.let(signed64(width, src.read()));
  if (width === 64) {
    const high = m.reg(2, 64) as I64;
    const low = m.reg(0, 64) as I64;
    m.raiseIf(divisor.eqz(), 0);
    const quotient = m.f.choose<I64>(
      // The dividend fits 64 bits, and its quotient too (only the lowest value divided by -1 does not).
      high.eq(low.shrS(63)).and(low.ne(LOWEST).or(divisor.ne(-1))),
      () => low.divS(divisor),
      () => {
        const negative = m.f.let(high.ltS(0));
        const magnitudeLow = m.f.choose<I64>(
          negative,
          () => i64(0).sub(low),
          () => low,
        );
        const magnitudeHigh = m.f.choose<I64>(
          negative,
          () => high.not().add(low.eqz().extendU()),
          () => high,
        );
        const by = m.f.choose<I64>(
          divisor.ltS(0),
          () => i64(0).sub(divisor),
          () => divisor,
        );
        m.raiseIf(magnitudeHigh.geU(by), 0);
        const magnitude = m.runtimeFor("i64", "divide_128", magnitudeHigh, magnitudeLow, by);
        const opposite = m.f.let(negative.xor(divisor.ltS(0)));
        // At most 2^63 - 1, or 2^63 for a negative quotient.
        m.raiseIf(magnitude.gtU(i64(0x7fff_ffff_ffff_ffffn).add(opposite.extendU())), 0);
        return m.f.choose<I64>(
          opposite,
          () => i64(0).sub(magnitude),
          () => magnitude,
        );
      },
    );
    writeQuotient(m, 64, quotient, m.f.let(low.sub(quotient.mul(divisor))));
    return;
  }
  const whole = dividend(m, width);
  const value = width === 32 ? whole : m.f.let(width === 8 ? whole.extend16S() : whole.extendS());
  // The lowest dividend overflows with every divisor, and would trap in WebAssembly with -1.
  m.raiseIf(divisor.eqz().or(value.eq(LOWEST)), 0);
  const quotient = m.f.let(value.divS(divisor));
  const kept = width === 32 ? quotient.extendS() : signed(width, quotient);
  m.raiseIf(quotient.ne(kept as I64), 0);
  writeQuotient(m, width, quotient.wrap(), value.sub(quotient.mul(divisor)).wrap());
};

const LOWEST = -0x8000_0000_0000_0000n;

export const MULTIPLY = [
  ...insn("MUL", mul, "F6 /4 | rm8\n F7 /4 | rmv"),
  ...insn("IMUL", imul, "F6 /5 | rm8\n F7 /5 | rmv"),
  ...insn("IMUL", imul2, "0F AF /r | rw:rv, rmv"),
  ...insn("IMUL", imul3, "69 /r | w:rv, rmv, immz\n 6B /r | w:rv, rmv, simm8"),
  ...insn("DIV", div, "F6 /6 | rm8\n F7 /6 | rmv"),
  ...insn("IDIV", idiv, "F6 /7 | rm8\n F7 /7 | rmv"),
];
