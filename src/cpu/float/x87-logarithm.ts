/** F2XM1, FYL2X, FYL2XP1 (SDM vol. 1, 8.3.9; vol. 2A for special operands). Results round right; see x87.ts. */
import { type FunctionBuilder, type I32, i32, i64, select } from "../../wasm/index.ts";
import type { RuntimeEnv } from "../runtime/define.ts";
import { denormalOperand, normalise } from "./arithmetic.ts";
import { FLAG } from "./format.ts";
import { invalid, pass, propagate, set } from "./nan.ts";
import { type FloatUnit, is, KIND, NAN, raise, type Unpacked, type Unrounded, unrounded } from "./unit.ts";
import { multiplyWide } from "./wide.ts";
import { FULL, finish, register } from "./x87-arithmetic.ts";
import { isEmpty, unit, x87 } from "./x87-registers.ts";
import { inexact } from "./x87-trigonometry.ts";
import {
  arithmetic,
  choice,
  constant,
  cut,
  LN2,
  rest,
  SHORT_LN2,
  SHORT_LOG2_E,
  TWO_OVER_LN2,
  type Wide,
} from "./x87-wide.ts";

const CANNOT = NAN | KIND.unsupported;
const SQUARE_ROOT_OF_2 = 0xb504_f333_f9de_6484n;
const LEADING = 1n << 63n;

const wide = (n: Unpacked): Wide => ({ high: n.mantissa, low: i64(0), exponent: n.exponent });

/** 2 z (1 + z²/3 + z⁴/5 …) / ln 2: the binary logarithm of (1 + z) / (1 - z). */
function logarithmOfRatio(f: FunctionBuilder, env: RuntimeEnv, z: Wide): Wide {
  const { square, pair, scale, multiply } = arithmetic(f, env);
  const t = square(z);
  return multiply(scale(z, pair("seriesLogarithm", t.high, t.low)), constant(TWO_OVER_LN2));
}

/** The product of ST(1) and a logarithm: zeros, infinities and what they may not meet. */
function special(u: FloatUnit, out: Unrounded, y: Unpacked, kind: I32, sign: I32): void {
  u.f.if(
    kind
      .or(y.kind)
      .and(KIND.zero | KIND.infinite)
      .eq(KIND.zero | KIND.infinite),
    () => invalid(u, out),
    () => set(out, kind.or(y.kind).and(KIND.zero | KIND.infinite), sign.xor(y.sign), i32(0), i64(0)),
  );
}

/** A logarithm, cut, times y: exact, and rounded once. PE is raised even where that needs no rounding. */
function product(u: FloatUnit, out: Unrounded, sign: I32, logarithm: Wide, y: Unpacked): void {
  const { f } = u;
  const by = cut(f, logarithm);
  const [top, bottom] = [multiplyWide(f, by.high, y.mantissa), multiplyWide(f, by.low, y.mantissa)];
  const low = f.let(top.low.add(bottom.high));
  const high = f.let(top.high.add(low.ltU(bottom.high).extendU()));
  const sticky = bottom.low.ne(0).extendU();
  raise(u, FLAG.PE);
  set(out, i32(KIND.finite), sign, by.exponent.add(y.exponent).add(1), high);
  out.low.set(low.or(sticky));
  normalise(u, out);
}

/** Arguments from which Intel's processors evaluate a series rather than look up a table: found by comparing. */
const SERIES_BELOW = -3;
/** Under this the logarithm is the argument times a constant. */
const PROPORTIONAL = -100;

export const LOGARITHM_FUNCTIONS = [
  /** log2 of mantissa * 2^(exponent - 63): high, low, exponent and sign; high 0 for a logarithm of 0. */
  x87("logarithm", "i64 i32", "i64 i64 i32 i32", (f, env) => {
    const mantissa = f.param(0, "i64").get();
    const { normalise, divide, add } = arithmetic(f, env);
    // To between sqrt(1/2) and sqrt(2).
    const halved = f.let(mantissa.gtU(i64(SQUARE_ROOT_OF_2)));
    const whole = f.let(f.param(1, "i32").get().add(halved));
    const distance = f.let(select(halved, i64(0).sub(mantissa), mantissa.sub(i64(LEADING))));
    const size = f.let(select(whole.ltS(0), i32(0).sub(whole), whole));
    const integer = () => normalise({ high: size.extendU(), low: i64(0) }, 63);
    f.if(distance.eqz(), () => {
      f.if(whole.eqz(), () => f.return(i64(0), i64(0), i32(0), i32(0)));
      // Intel's processors make the logarithm of 1/2, 1/4, … a trifle too small.
      f.if(whole.ltS(0), () => {
        const n = integer();
        const r = normalise({ high: f.let(n.high.sub(1)), low: i64(-1) }, n.exponent);
        f.return(r.high, r.low, r.exponent, i32(1));
      });
      const n = integer();
      f.return(n.high, n.low, n.exponent, i32(0));
    });
    // (m - 1) / (m + 1).
    const above = { high: f.let(distance), low: i64(0) };
    const sum = {
      high: f.let(mantissa.shrU(1).add(select(halved, i64(LEADING), i64(LEADING >> 1n)))),
      low: f.let(mantissa.shl(63)),
    };
    const denominator = normalise(sum, f.let(i32(1).sub(halved)));
    const z = divide(normalise(above, f.let(i32(0).sub(halved))), denominator);
    const part = logarithmOfRatio(f, env, z);
    f.if(whole.eqz(), () => f.return(part.high, part.low, part.exponent, halved));
    const r = add(integer(), part, f.let(whole.shrU(31).ne(halved)));
    f.return(r.high, r.low, r.exponent, whole.shrU(31));
  }),

  /** ST(1) * log2 ST(0), in ST(1); pops. */
  x87("fyl2x", "", "", (f, env) => {
    const u = unit(f, env);
    const [x, y] = [register(u, env, 0), register(u, env, 1)];
    const out = unrounded(f);
    const negative = x.sign.and(is(x.kind, KIND.zero).eqz());
    f.if(
      is(x.kind.or(y.kind), CANNOT),
      () => propagate(u, out, y, x),
      () =>
        f.if(
          negative,
          () => invalid(u, out),
          () =>
            f.if(
              is(x.kind, KIND.zero),
              () => {
                // The logarithm is minus infinity, exactly where ST(1) is infinite.
                f.if(
                  is(y.kind, KIND.zero),
                  () => invalid(u, out),
                  () => {
                    f.if(is(y.kind, KIND.finite), () => raise(u, FLAG.ZE));
                    set(out, i32(KIND.infinite), y.sign.xor(1), i32(0), i64(0));
                  },
                );
              },
              () =>
                f.if(
                  is(x.kind, KIND.infinite),
                  () => {
                    f.if(is(y.kind, KIND.zero).eqz(), () => denormalOperand(u, y.kind));
                    special(u, out, y, i32(KIND.infinite), i32(0));
                  },
                  () => logarithmTimes(u, env, out, x, y),
                ),
            ),
        ),
    );
    finish(u, env, 1, out, f.let(isEmpty(f, env, 0).or(isEmpty(f, env, 1))), FULL, 1);
  }),

  /** ST(1) * log2(ST(0) + 1), in ST(1); pops. */
  x87("fyl2xp1", "", "", (f, env) => {
    const u = unit(f, env);
    const [x, y] = [register(u, env, 0), register(u, env, 1)];
    const out = unrounded(f);
    const { divide, add, multiply } = arithmetic(f, env);
    f.if(
      is(x.kind.or(y.kind), CANNOT),
      () => propagate(u, out, y, x),
      () => {
        const plain = is(x.kind, KIND.finite).nez().and(is(y.kind, KIND.finite).nez());
        f.if(
          plain,
          () => {
            denormalOperand(u, x.kind.or(y.kind));
            // Undefined from -1 down (vol. 2A): Intel's processors give ST(0).
            f.if(
              x.sign.and(x.exponent.geS(0)),
              () => {
                raise(u, FLAG.PE);
                pass(u, out, x);
              },
              () => {
                const two: Wide = { high: i64(LEADING), low: i64(0), exponent: i32(1) };
                const z = divide(wide(x), add(two, wide(x), x.sign));
                const logarithm = choice(f);
                logarithm.take(logarithmOfRatio(f, env, z));
                f.if(x.exponent.ltS(SERIES_BELOW), () => {
                  // x / ln 2, cut, and what the logarithm has beyond it.
                  const first = cut(f, multiply(wide(x), constant(SHORT_LOG2_E)));
                  const exact = multiply(wide(x), constant(TWO_OVER_LN2 / 2n));
                  f.if(
                    x.exponent.ltS(PROPORTIONAL),
                    () => logarithm.take(first),
                    () =>
                      f.if(
                        x.sign,
                        () => logarithm.take(add(first, add(logarithm.value(), exact, i32(1)), i32(0))),
                        () => logarithm.take(add(first, add(exact, logarithm.value(), i32(1)), i32(1))),
                      ),
                  );
                });
                product(u, out, f.let(x.sign.xor(y.sign)), logarithm.value(), y);
              },
            );
          },
          () => {
            const [zero, infinite] = [is(x.kind, KIND.zero), is(x.kind, KIND.infinite)];
            f.if(
              infinite.nez().and(x.sign),
              () => invalid(u, out),
              () => {
                const wrong = zero.nez().and(is(y.kind, KIND.infinite).nez());
                f.if(wrong.eqz().and(infinite.eqz().or(is(y.kind, KIND.zero).eqz())), () =>
                  denormalOperand(u, x.kind.or(y.kind)),
                );
                special(u, out, y, f.let(x.kind.and(KIND.zero | KIND.infinite)), x.sign);
              },
            );
          },
        );
      },
    );
    finish(u, env, 1, out, f.let(isEmpty(f, env, 0).or(isEmpty(f, env, 1))), FULL, 1);
  }),

  /** 2^ST(0) - 1 for ST(0) from -1 to 1. */
  x87("f2xm1", "", "", (f, env) => {
    const u = unit(f, env);
    const a = register(u, env, 0);
    const out = unrounded(f);
    pass(u, out, a);
    denormalOperand(u, a.kind);
    f.if(is(a.kind, KIND.infinite).nez().and(a.sign), () => set(out, i32(KIND.finite), i32(1), i32(0), i64(LEADING)));
    f.if(is(a.kind, KIND.finite).nez().and(a.exponent.ltS(0)), () => {
      const { multiply, toFixed, pair, scale, add, normalise: wideNormalise } = arithmetic(f, env);
      const small = f.let(a.exponent.ltS(SERIES_BELOW + 1));
      const factor = choice(f);
      f.if(
        small,
        () => factor.take(constant(SHORT_LN2)),
        () => factor.take(constant(LN2)),
      );
      const t = multiply(wide(a), factor.value());
      const argument = toFixed(t);
      const result = choice(f);
      f.if(
        a.sign,
        () => result.take(scale(t, pair("seriesExponentialNegative", argument.high, argument.low))),
        () => result.take(scale(t, pair("seriesExponential", argument.high, argument.low))),
      );
      // The first term, x ln 2, is cut.
      const left = rest(f, t);
      f.if(small.and(left.low.ne(0)), () => result.take(add(result.value(), wideNormalise(left, t.exponent), i32(1))));
      inexact(out, a.sign, result.value());
    });
    // Beyond 1 the result is undefined (vol. 2A): Intel's processors leave the operand and raise PE.
    f.if(is(a.kind, KIND.finite).nez().and(a.exponent.geS(0)), () => raise(u, FLAG.PE));
    // At -1 exactly -1/2; at 1 it is 1 already.
    f.if(
      is(a.kind, KIND.finite)
        .nez()
        .and(a.exponent.eqz())
        .and(a.sign)
        .and(a.mantissa.eq(i64(LEADING))),
      () => out.exponent.set(i32(-1)),
    );
    finish(u, env, 0, out, isEmpty(f, env, 0), FULL);
  }),
];

/** y log2 x for a positive finite x. */
function logarithmTimes(u: FloatUnit, env: RuntimeEnv, out: Unrounded, x: Unpacked, y: Unpacked): void {
  const { f } = u;
  const [high, low, exponent, sign] = f.callForAll(env.fn("x87.logarithm"), x.mantissa, x.exponent) as [
    Wide["high"],
    Wide["low"],
    I32,
    I32,
  ];
  const kind = f.let(select(high.eqz(), i32(KIND.zero), i32(KIND.finite)));
  f.if(
    is(kind.or(y.kind), KIND.zero | KIND.infinite),
    () => {
      f.if(is(kind, KIND.zero).nez().and(is(y.kind, KIND.infinite).nez()).eqz(), () =>
        denormalOperand(u, x.kind.or(y.kind)),
      );
      special(u, out, y, f.let(kind.and(KIND.zero)), sign);
    },
    () => {
      denormalOperand(u, x.kind.or(y.kind));
      product(u, out, f.let(sign.xor(y.sign)), { high, low, exponent }, y);
    },
  );
}
