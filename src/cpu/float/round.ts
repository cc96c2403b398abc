/**
 * Rounding to a format and packing (SDM vol. 1, 4.8.4 and 4.9.1): overflow, underflow and precision are found here.
 * Tininess is detected after rounding, as if the exponent had no bounds.
 */
import { type I32, type I64, i32, i64, type Local, select } from "../../wasm/index.ts";
import { CONTROL, EXTENDED80, FLAG, type Format, maxExponent, minExponent, ROUNDED_UP, ROUNDING } from "./format.ts";
import { type FloatUnit, is, KIND, masked, NAN, raise, rounding, type Unrounded } from "./unit.ts";

const LEADING = 1n << 63n;

/** Shifts high:low right by `count` (above 0), the last bit of low staying sticky. */
export function shiftRightSticky(u: FloatUnit, high: Local<"i64">, low: Local<"i64">, count: I32): void {
  const { f } = u;
  const n = f.let(count.extendU());
  f.if(
    count.ltU(64),
    () => {
      const lost = low.get().shl(i64(64).sub(n)).ne(0).extendU();
      low.set(
        low
          .get()
          .shrU(n)
          .or(high.get().shl(i64(64).sub(n)))
          .or(lost),
      );
      high.set(high.get().shrU(n));
    },
    () => {
      const lost = f.let(
        select(count.eq(64), i64(0), high.get().shl(i64(0).sub(n)))
          .or(low.get())
          .ne(0)
          .extendU(),
      );
      low.set(select(count.ltU(128), select(count.eq(64), high.get(), high.get().shrU(n)), i64(0)).or(lost));
      f.if(count.geU(128), () => low.set(i64(1)));
      high.set(i64(0));
    },
  );
}

/** 1 where a magnitude is to be rounded up: `kept` is the integer part, `rest` the fraction in units of 2^-64. */
export function roundsUp(u: FloatUnit, sign: I32, kept: I64, rest: I64): I32 {
  const { f } = u;
  const mode = f.let(rounding(u));
  return f.choose(
    mode.eqz(),
    () => rest.gtU(LEADING).or(rest.eq(LEADING).and(kept.wrap().and(1))),
    () =>
      rest
        .ne(0)
        .and(mode.ne(ROUNDING.zero))
        .and(sign.eq(mode.eq(ROUNDING.down))),
  );
}

/** A rounded magnitude: biased exponent (all ones: infinity) and 64-bit mantissa, leading one at 63 unless denormal. */
export interface Rounded {
  readonly biased: I32;
  readonly mantissa: I64;
}

export interface RoundOptions {
  /** Bits of the significand where they are fewer than the format has: 1 to 64. */
  readonly precision?: I32 | number;
  /**
   * Unmasked overflow and underflow round as if the exponent had no bounds, and then move it by this much: 24576 for
   * x87 registers (SDM vol. 1, 8.5.4 and 8.5.5). Elsewhere such a result is not written: it only says whether PE is raised.
   */
  readonly rebias?: number;
}

/** Rounds a finite magnitude. Raises OE, UE and PE, and sets ROUNDED_UP. */
export function round(u: FloatUnit, format: Format, n: Unrounded, options: RoundOptions = {}): Rounded {
  const { f } = u;
  const precision = options.precision ?? format.precision;
  const dropped = f.let(typeof precision === "number" ? i64(64 - precision) : i64(64).sub(precision.extendU()));
  const rebias = options.rebias ?? 0;
  const [emin, emax] = [minExponent(format), maxExponent(format)];
  const sign = f.let(n.sign.get());
  const exponent = f.variable(n.exponent.get());
  const high = f.variable(n.high.get());
  const low = f.variable(n.low.get());
  const tiny = f.local("i32");
  const mantissa = f.local("i64");
  const up = f.local("i32");
  const rest = f.local("i64");

  /** Rounds high:low to the precision: sets mantissa (left-aligned), rest and up; on carry the mantissa is zero. */
  const apply = () => {
    const kept = f.let(high.get().shrU(dropped));
    rest.set(select(dropped.eqz(), low.get(), high.get().shl(i64(64).sub(dropped)).or(low.get().ne(0).extendU())));
    up.set(roundsUp(u, sign, kept, rest.get()));
    mantissa.set(kept.add(up.get().extendU()).shl(dropped));
  };

  const overflowed = f.local("i32");
  f.if(exponent.get().ltS(emin), () => {
    apply();
    // Rounding with an unbounded exponent may carry up to the smallest normal number: not tiny then.
    tiny.set(
      exponent
        .get()
        .ne(emin - 1)
        .or(mantissa.get().nez()),
    );
    const denormalise = () => {
      shiftRightSticky(u, high, low, f.let(i32(emin).sub(exponent.get())));
      exponent.set(i32(emin));
    };
    f.if(masked(u, FLAG.UE).or(tiny.get().eqz()), denormalise, () => {
      raise(u, FLAG.UE);
      tiny.set(i32(0));
      exponent.set(exponent.get().add(rebias));
    });
  });
  apply();
  f.if(mantissa.get().eqz().and(up.get()), () => {
    mantissa.set(i64(LEADING));
    exponent.set(exponent.get().add(1));
  });
  f.if(exponent.get().gtS(emax), () => {
    raise(u, FLAG.OE);
    f.if(
      masked(u, FLAG.OE),
      () => overflowed.set(i32(1)),
      () => exponent.set(exponent.get().sub(rebias)),
    );
  });
  const biased = f.local("i32");
  f.if(
    overflowed.get(),
    () => {
      // Masked response (SDM vol. 1, table 4-10): the infinity, or the largest finite number.
      const mode = f.let(rounding(u));
      const away = f.let(select(mode.eqz(), i32(1), mode.ne(ROUNDING.zero).and(sign.eq(mode.eq(ROUNDING.down)))));
      raise(u, select(away, i32(FLAG.PE | ROUNDED_UP), i32(FLAG.PE)));
      biased.set(i32(emax + format.bias).add(away));
      mantissa.set(select(away, i64(LEADING), i64(-1).shl(dropped)));
    },
    () => {
      f.if(rest.get().ne(0), () => raise(u, select(up.get(), i32(FLAG.PE | ROUNDED_UP), i32(FLAG.PE))));
      // Masked underflow is reported only where precision is lost too.
      f.if(tiny.get().and(rest.get().ne(0)), () => raise(u, FLAG.UE));
      // A mantissa without its leading one is a denormal: exponent field 0.
      biased.set(select(mantissa.get().ltS(0), exponent.get().add(format.bias), i32(0)));
      f.if(tiny.get().and(u.control.and(CONTROL.ftz).nez()), () => {
        raise(u, FLAG.UE | FLAG.PE);
        biased.set(i32(0));
        mantissa.set(i64(0));
      });
    },
  );
  return { biased: biased.get(), mantissa: mantissa.get() };
}

/** Rounds any result to binary32 or binary64; a NaN must be quiet by now. */
export function roundPack(u: FloatUnit, format: Format, n: Unrounded): I64 {
  const { f } = u;
  const fractionBits = format.precision - 1;
  const fraction = (mantissa: I64) => mantissa.shl(1).shrU(64 - fractionBits);
  const special = 2 ** format.exponentBits - 1;
  const out = f.local("i64");
  const assemble = (biased: I32, mantissa: I64) =>
    out.set(n.sign.get().shl(format.exponentBits).or(biased).extendU().shl(fractionBits).or(fraction(mantissa)));
  f.if(
    is(n.kind.get(), KIND.finite),
    () => {
      const { biased, mantissa } = round(u, format, n);
      assemble(biased, mantissa);
    },
    () => {
      const nan = is(n.kind.get(), NAN);
      assemble(select(is(n.kind.get(), KIND.zero), i32(0), i32(special)), select(nan, n.high.get(), i64(0)));
    },
  );
  return out.get();
}

/** An 80-bit result: sign and exponent in 16 bits, and the mantissa. */
export interface Extended {
  readonly top: I32;
  readonly mantissa: I64;
}

/** Rounds any result to the x87 format, at the precision the control word asks for unless told otherwise. */
export function roundExtended(u: FloatUnit, n: Unrounded, options: RoundOptions = {}): Extended {
  const { f } = u;
  const biased = f.local("i32");
  const mantissa = f.local("i64");
  f.if(
    is(n.kind.get(), KIND.finite),
    () => {
      const control = f.let(u.control.shrU(CONTROL.precisionShift).and(3));
      const precision =
        options.precision ?? f.let(select(control.eq(0), i32(24), select(control.eq(2), i32(53), i32(64))));
      const rounded = round(u, EXTENDED80, n, { ...options, precision });
      biased.set(rounded.biased);
      mantissa.set(rounded.mantissa);
    },
    () => {
      f.if(
        is(n.kind.get(), KIND.zero),
        () => {
          biased.set(i32(0));
          mantissa.set(i64(0));
        },
        () => {
          biased.set(i32(0x7fff));
          mantissa.set(select(is(n.kind.get(), NAN), n.high.get().or(LEADING), i64(LEADING)));
        },
      );
    },
  );
  return { top: f.let(n.sign.get().shl(15).or(biased.get())), mantissa: mantissa.get() };
}
