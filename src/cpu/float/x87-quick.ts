/**
 * The quick way of frequent x87 operations: normal numbers, all exceptions masked, 64-bit precision, round to nearest. It comes first in
 * the functions of x87-arithmetic.ts, x87-transfer.ts and others, returns where it has done everything, and leaves everything as it was
 * where it has not.
 */
import { type FunctionBuilder, type I32, type I64, i32, i64, type Label, select } from "../../wasm/index.ts";
import type { RuntimeEnv } from "../runtime/define.ts";
import { EXTENDED80, type Format } from "./format.ts";
import { divideWide, multiplyWide } from "./wide.ts";
import { C1, clearC1, INTEGER_BIT, isEmpty, readValue, slot, type Value, writeValue } from "./x87-registers.ts";

/** Control word: masks, precision and rounding; all masked, 64 bits, to nearest. */
const MODES = 0xf3f;
const USUAL = 0x33f;
const EXPONENT = 0x7fff;
const SIGN = 0x8000;
/** Biased exponents from 1 to this need no thought about overflow and underflow, whichever way they are rounded. */
const LAST_EXPONENT = 0x7ffd;
const BIAS = EXTENDED80.bias;

/** Writes `quick`, which leaves by the label where it cannot go on; what follows is the long way. */
export function attempt(f: FunctionBuilder, quick: (unfit: Label) => void): void {
  f.block((unfit) => quick(unfit));
}

/** Not zero where the control word is other than that. */
const unusual = (env: RuntimeEnv): I32 => env.get("fcw").and(MODES).ne(USUAL);
const isNormal = ({ m, se }: Value): I32 =>
  se
    .and(EXPONENT)
    .sub(1)
    .ltU(EXPONENT - 1)
    .and(m.ltS(0));

/** Pops so many registers, 0 or 1. */
function popUpTo1(f: FunctionBuilder, env: RuntimeEnv, pops: I32): void {
  const top = f.let(env.get("ftop"));
  env.set("fempty", env.get("fempty").or(pops.shl(top)));
  env.set("ftop", top.add(pops).and(7));
}

/** A number of a memory format that is normal, as the register would hold it. */
export function widened(f: FunctionBuilder, format: Format, bits: I64, unfit: Label): Value {
  const fractionBits = format.precision - 1;
  const top = 2 ** format.exponentBits - 1;
  const exponent = f.let(bits.shrU(fractionBits).wrap().and(top));
  f.brIf(unfit, exponent.sub(1).geU(top - 1));
  const sign = bits
    .shrU(fractionBits + format.exponentBits)
    .wrap()
    .shl(15);
  return {
    m: f.let(bits.shl(63 - fractionBits).or(i64(INTEGER_BIT))),
    se: f.let(exponent.add(BIAS - format.bias).or(sign)),
  };
}

/** An integer, likewise; zero too. */
export function ofInteger(f: FunctionBuilder, value: I64): Value {
  const magnitude = f.let(select(value.ltS(0), i64(0).sub(value), value));
  const shift = f.let(magnitude.clz());
  const se = i32(BIAS + 63)
    .sub(shift.wrap())
    .or(value.shrU(63).wrap().shl(15));
  return { m: f.let(magnitude.shl(shift)), se: f.let(select(magnitude.eqz(), i32(0), se)) };
}

/** A result before it is rounded: its mantissa, 64 bits further below, biased exponent, sign as in a register. */
interface Wide {
  readonly high: I64;
  readonly low: I64;
  readonly exponent: I32;
  readonly sign: I32;
}
export type Compute = (f: FunctionBuilder, a: Value, b: Value, how: I32, unfit: Label) => Wide;

const exponentOf = (v: Value): I32 => v.se.and(EXPONENT);

export const product: Compute = (f, a, b) => {
  const { high, low } = multiplyWide(f, a.m, b.m);
  const shift = f.let(high.shrU(63).xor(1));
  return {
    high: f.let(high.shl(shift).or(low.shrU(1).shrU(i64(63).sub(shift)))),
    low: f.let(low.shl(shift)),
    exponent: f.let(
      exponentOf(a)
        .add(exponentOf(b))
        .sub(BIAS - 1)
        .sub(shift.wrap()),
    ),
    sign: a.se.xor(b.se).and(SIGN),
  };
};

export const quotient: Compute = (f, a, b) => {
  const below = f.let(a.m.ltU(b.m));
  const divided = divideWide(f, f.let(select(below, a.m, a.m.shrU(1))), f.let(select(below, i64(0), a.m.shl(63))), b.m);
  const { remainder } = divided;
  const rest = f.let(b.m.sub(remainder));
  return {
    high: divided.quotient,
    low: f.let(
      rest
        .leU(remainder)
        .extendU()
        .shl(63)
        .or(remainder.ne(0).and(rest.ne(remainder)).extendU()),
    ),
    exponent: f.let(exponentOf(a).sub(exponentOf(b)).add(BIAS).sub(below)),
    sign: a.se.xor(b.se).and(SIGN),
  };
};

/** a + b, or a - b where `how` says so (NEGATE in x87-arithmetic.ts). */
export const sum: Compute = (f, a, b, how, unfit) => {
  const second = f.let(b.se.xor(how.and(2).shl(14)));
  const [ea, eb] = [f.let(exponentOf(a)), f.let(exponentOf(b))];
  const swap = f.let(eb.gtU(ea).or(eb.eq(ea).and(b.m.gtU(a.m))));
  const [large, small] = [f.let(select(swap, b.m, a.m)), f.let(select(swap, a.m, b.m))];
  const distance = f.let(select(swap, eb.sub(ea), ea.sub(eb)));
  f.brIf(unfit, distance.gtU(63));
  const by = f.let(distance.extendU());
  const shifted = f.let(small.shrU(by));
  const below = f.let(small.shl(1).shl(i64(63).sub(by)));
  const [high, low, exponent] = [f.local("i64"), f.local("i64"), f.local("i32")];
  exponent.set(select(swap, eb, ea));
  f.if(
    a.se.xor(second).and(SIGN),
    () => {
      const difference = f.let(large.sub(shifted).sub(below.ne(0).extendU()));
      f.brIf(unfit, difference.eqz());
      const rest = f.let(i64(0).sub(below));
      const shift = f.let(difference.clz());
      high.set(difference.shl(shift).or(rest.shrU(1).shrU(i64(63).sub(shift))));
      low.set(rest.shl(shift));
      exponent.set(exponent.get().sub(shift.wrap()));
    },
    () => {
      const added = f.let(large.add(shifted));
      const carry = f.let(added.ltU(large).extendU());
      high.set(added.shrU(carry).or(carry.shl(63)));
      low.set(below.shrU(carry).or(added.and(carry).shl(63)).or(below.and(carry)));
      exponent.set(exponent.get().add(carry.wrap()));
    },
  );
  return {
    high: high.get(),
    low: low.get(),
    exponent: exponent.get(),
    sign: select(swap, second, a.se).and(SIGN),
  };
};

/** Rounds, writes the register at `to`, says in the status word how it was rounded. */
function finish(f: FunctionBuilder, env: RuntimeEnv, to: I32, wide: Wide, unfit: Label): void {
  f.brIf(unfit, wide.exponent.sub(1).geU(LAST_EXPONENT));
  const half = i64(INTEGER_BIT);
  const up = f.let(wide.low.gtU(half).or(wide.low.eq(half).and(wide.high.wrap().and(1))));
  const rounded = f.let(wide.high.add(up.extendU()));
  // Beyond the largest mantissa comes the smallest of the next exponent.
  const carry = f.let(rounded.eqz());
  writeValue(f, to, {
    m: rounded.or(carry.extendU().shl(63)),
    se: wide.exponent.add(carry).or(wide.sign),
  });
  const precision = wide.low.ne(0).shl(5);
  env.set("fsw", env.get("fsw").and(~C1).or(precision).or(up.shl(9)));
}

/** Registers and formats that an operand comes from, by number; see SOURCE in x87-arithmetic.ts. */
export interface Source {
  readonly kind: I32;
  readonly number: I32;
  readonly bits: I64;
}

/** ST(dst) = ST(dst) op source, or source op ST(dst), as x87-arithmetic.ts has it. */
export function quickBinary(
  f: FunctionBuilder,
  env: RuntimeEnv,
  compute: Compute,
  formats: readonly [Format, Format],
  dst: I32,
  source: Source,
  how: I32,
  pops: I32,
): void {
  attempt(f, (unfit) => {
    f.brIf(unfit, unusual(env));
    const to = slot(f, env, dst);
    const own = readValue(f, to);
    f.brIf(unfit, isEmpty(f, env, dst).or(isNormal(own).eqz()));
    const from = { m: f.local("i64"), se: f.local("i32") };
    const take = (value: Value) => {
      from.m.set(value.m);
      from.se.set(value.se);
    };
    f.if(
      source.kind.eqz(),
      () => {
        f.brIf(unfit, isEmpty(f, env, source.number));
        take(readValue(f, slot(f, env, source.number)));
        f.brIf(unfit, isNormal({ m: from.m.get(), se: from.se.get() }).eqz());
      },
      () =>
        f.switch(
          source.kind.sub(1),
          formats.map((format) => () => take(widened(f, format, source.bits, unfit))),
          () => {
            f.brIf(unfit, source.bits.eqz());
            take(ofInteger(f, source.bits));
          },
        ),
    );
    const reverse = f.let(how.and(1));
    const pick = (x: Value, y: Value): Value => ({
      m: f.let(select(reverse, y.m, x.m)),
      se: f.let(select(reverse, y.se, x.se)),
    });
    const other = { m: from.m.get(), se: from.se.get() };
    finish(f, env, to, compute(f, pick(own, other), pick(other, own), how, unfit), unfit);
    popUpTo1(f, env, pops);
    f.return();
  });
}

/** Rounds ST(0) to a memory format: to scratch0, returning 1. Zeros, and what is normal in the format too. */
export function quickStore(f: FunctionBuilder, env: RuntimeEnv, format: Format): void {
  attempt(f, (unfit) => {
    f.brIf(unfit, unusual(env).or(isEmpty(f, env, 0)));
    const { m, se } = readValue(f, slot(f, env, 0));
    const bits = format.precision + format.exponentBits;
    const sign = f.let(
      se
        .shrU(15)
        .extendU()
        .shl(bits - 1),
    );
    f.if(m.eqz().and(exponentOf({ m, se }).eqz()), () => {
      env.set("scratch0", sign);
      clearC1(env);
      f.return(i32(1));
    });
    const exponent = f.let(exponentOf({ m, se }).sub(BIAS - format.bias));
    f.brIf(unfit, m.geS(0).or(exponent.sub(1).geU(2 ** format.exponentBits - 3)));
    const kept = f.let(m.shrU(64 - format.precision));
    const rest = f.let(m.shl(format.precision));
    const half = i64(INTEGER_BIT);
    const up = f.let(rest.gtU(half).or(rest.eq(half).and(kept.wrap().and(1))));
    // A mantissa that is rounded up to the next power of two adds to the exponent.
    const packed = exponent
      .sub(1)
      .extendU()
      .shl(format.precision - 1)
      .add(kept)
      .add(up.extendU());
    env.set("scratch0", packed.or(sign));
    env.set("fsw", env.get("fsw").and(~C1).or(rest.ne(0).shl(5)).or(up.shl(9)));
    f.return(i32(1));
  });
}

/** Two registers that are normal or zero, and not empty: 1 where ST(0) is less than ST(i), 2 equal, 4 greater; as ORDER in convert.ts. */
export function quickOrder(f: FunctionBuilder, env: RuntimeEnv, number: I32, unfit: Label): I32 {
  f.brIf(unfit, isEmpty(f, env, 0).or(isEmpty(f, env, number)));
  const [a, b] = [readValue(f, slot(f, env, 0)), readValue(f, slot(f, env, number))];
  f.brIf(unfit, isNormal(a).and(isNormal(b)).eqz());
  const equal = f.let(a.m.eq(b.m).and(a.se.eq(b.se)));
  const [signA, signB] = [f.let(a.se.shrU(15)), f.let(b.se.shrU(15))];
  const [ea, eb] = [f.let(exponentOf(a)), f.let(exponentOf(b))];
  const smaller = f.let(ea.ltU(eb).or(ea.eq(eb).and(a.m.ltU(b.m))));
  const less = f.let(select(signA.ne(signB), signA, smaller.xor(signA)));
  return f.let(select(equal, i32(2), select(less, i32(1), i32(4))));
}
