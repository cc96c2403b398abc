/**
 * FSIN, FCOS, FSINCOS, FPTAN, FPATAN (SDM vol. 1, 8.3.8; vol. 2A). Results round right; see x87.ts on how that
 * compares with processors.
 */
import { type FunctionBuilder, type I32, type I64, i32, i64, select } from "../../wasm/index.ts";
import type { RuntimeEnv } from "../runtime/define.ts";
import { denormalOperand } from "./arithmetic.ts";
import { FLAG } from "./format.ts";
import { invalid, pass, propagate, set } from "./nan.ts";
import { is, KIND, NAN, raise, type Unrounded, unrounded } from "./unit.ts";
import { FULL, finish, finishPushing, register } from "./x87-arithmetic.ts";
import { C1, C2, isEmpty, unit, x87 } from "./x87-registers.ts";
import { arctangent, arithmetic, choice, constant, cut, fixed, PI, type Wide } from "./x87-wide.ts";

// How Intel's processors end the series of small arguments (found by trying): under 2^-68 the argument itself, or 1,
// with PE but not rounded; the arctangent of a quotient under 2^-40 is the quotient.
const SMALLEST = -68;
const ARCTANGENT_SMALLEST = -40;
/** Quotients below this are used as they were cut to 67 bits. */
const ARCTANGENT_SERIES = -4;

const CANNOT = NAN | KIND.unsupported;
/** Arguments from 2^63 on are not reduced: C2 (vol. 2A, FSIN). */
const REDUCIBLE = 63;
/** Half of the 66-bit pi that arguments are reduced by (vol. 1, 8.3.8), in units of 2^-65. */
const HALF_PI = 0x3_243f_6a88_85a3_08d3n;

/** A result as the rounding wants it: never exact. */
export function inexact(out: Unrounded, sign: I32, value: Wide): void {
  set(out, i32(KIND.finite), sign, value.exponent, value.high);
  out.low.set(value.low.or(1));
}

const call = (f: FunctionBuilder, env: RuntimeEnv) => arithmetic(f, env);

/** A constant finite result, by its bits behind the point. */
export function known(out: Unrounded, sign: I32, value: bigint): void {
  inexact(out, sign, constant(value));
}

/**
 * One of the four instructions: `sine` and `cosine` replace ST(0); `both` and `tangent` push a second result, the
 * cosine or 1.
 */
function trigonometric(name: string, what: "sine" | "cosine" | "both" | "tangent") {
  const pushes = what === "both" || what === "tangent";
  return x87(name, "", "", (f, env) => {
    const u = unit(f, env);
    const a = register(u, env, 0);
    const [first, second] = [unrounded(f), unrounded(f)];
    const one = (out: Unrounded) => set(out, i32(KIND.finite), i32(0), i32(0), i64(1n << 63n));
    const empty = isEmpty(f, env, 0);
    env.set("fsw", env.get("fsw").and(~(C1 | C2)));
    const room = pushes ? isEmpty(f, env, 7) : i32(1);
    f.if(is(a.kind, KIND.finite).nez().and(a.exponent.geS(REDUCIBLE)).and(empty.eqz()).and(room), () => {
      env.set("fsw", env.get("fsw").or(C2));
      f.return();
    });
    f.if(
      is(a.kind, CANNOT),
      () => {
        pass(u, first, a);
        pass(u, second, a);
      },
      () =>
        f.if(
          is(a.kind, KIND.infinite),
          () => {
            invalid(u, first);
            invalid(u, second);
          },
          () => {
            denormalOperand(u, a.kind);
            const tiny = f.let(is(a.kind, KIND.finite).nez().and(a.exponent.ltS(SMALLEST)));
            f.if(tiny, () => raise(u, FLAG.PE));
            f.if(
              is(a.kind, KIND.zero).or(tiny),
              () => {
                if (what === "cosine") one(first);
                else pass(u, first, a);
                one(second);
              },
              () => {
                const [high, low, exponent, info] = f.callForAll(env.fn("x87.reduce"), a.mantissa, a.exponent) as [
                  I64,
                  I64,
                  I32,
                  I32,
                ];
                const { triple, divide } = call(f, env);
                const odd = f.let(info.and(1));
                const back = f.let(info.shrU(1).and(1));
                // The reduced argument's sign, as that of ST(0) turns it.
                const flipped = f.let(info.shrU(2).xor(a.sign));
                const sine = () => triple("sine", high, low, exponent);
                const cosine = () => triple("cosine", high, low, exponent);
                const pick = (out: Unrounded, useSine: I32, sineSign: I32, cosineSign: I32) =>
                  f.if(
                    useSine,
                    () => inexact(out, sineSign, sine()),
                    () => inexact(out, cosineSign, cosine()),
                  );
                const wantSine = (out: Unrounded) => pick(out, odd.eqz(), flipped.xor(back), a.sign.xor(back));
                const wantCosine = (out: Unrounded) => pick(out, odd, info.shrU(2).xor(back).xor(1), back);
                if (what === "cosine") wantCosine(first);
                else if (what === "tangent") {
                  const quotient = choice(f);
                  const [s, c] = [cut(f, sine()), cut(f, cosine())];
                  f.if(
                    odd,
                    () => quotient.take(divide(c, s)),
                    () => quotient.take(divide(s, c)),
                  );
                  inexact(first, f.let(flipped.xor(odd)), quotient.value());
                } else wantSine(first);
                if (what === "both") wantCosine(second);
                if (what === "tangent") one(second);
              },
            );
          },
        ),
    );
    if (pushes) finishPushing(u, env, first, second, empty, what === "both");
    else finish(u, env, 0, first, empty, FULL);
  });
}

/** pi/4 * n, with 255 bits behind the point, to be halved until it fits. */
const quarters = (n: bigint): bigint => (PI * n) / 4n;

export const TRIGONOMETRIC_FUNCTIONS = [
  /**
   * The argument less the nearest multiple of pi/2: a number of at most pi/4, and in an i32 the multiple modulo 4 with
   * bit 2 where the difference is negative.
   */
  x87("reduce", "i64 i32", "i64 i64 i32 i32", (f, env) => {
    const [mantissa, exponent] = [f.param(0, "i64").get(), f.param(1, "i32").get()];
    f.if(exponent.ltS(-1), () => f.return(mantissa, i64(0), exponent, i32(0)));
    const divisor = fixed(HALF_PI);
    const high = f.local("i64");
    const low = f.variable(mantissa);
    const quotient = f.local("i32");
    // The argument is mantissa * 2^(exponent + 2) units of 2^-65.
    const left = f.variable(exponent.add(2));
    f.loop((again) => {
      high.set(high.get().shl(1).or(low.get().shrU(63)));
      low.set(low.get().shl(1));
      const fits = f.let(
        high
          .get()
          .gtU(divisor.high)
          .or(high.get().eq(divisor.high).and(low.get().geU(divisor.low))),
      );
      f.if(fits, () => {
        const borrow = f.let(low.get().ltU(divisor.low).extendU());
        low.set(low.get().sub(divisor.low));
        high.set(high.get().sub(divisor.high).sub(borrow));
      });
      quotient.set(quotient.get().shl(1).or(fits));
      left.set(left.get().sub(1));
      f.brIf(again, left.get());
    });
    // To the next multiple where that is nearer.
    const otherLow = f.let(divisor.low.sub(low.get()));
    const otherHigh = f.let(divisor.high.sub(high.get()).sub(divisor.low.ltU(low.get()).extendU()));
    const nearer = f.let(otherHigh.ltU(high.get()).or(otherHigh.eq(high.get()).and(otherLow.ltU(low.get()))));
    const rest = {
      high: f.let(select(nearer, otherHigh, high.get())),
      low: f.let(select(nearer, otherLow, low.get())),
    };
    const r = call(f, env).normalise(rest, 127 - 65);
    f.return(r.high, r.low, r.exponent, quotient.get().add(nearer).and(3).or(nearer.shl(2)));
  }),

  x87("sine", "i64 i64 i32", "i64 i64 i32", (f, env) => {
    const x = { high: f.param(0, "i64").get(), low: f.param(1, "i64").get(), exponent: f.param(2, "i32").get() };
    const { square, pair, scale } = call(f, env);
    const t = square(x);
    const r = scale(x, pair("seriesSine", t.high, t.low));
    f.return(r.high, r.low, r.exponent);
  }),
  x87("cosine", "i64 i64 i32", "i64 i64 i32", (f, env) => {
    const x = { high: f.param(0, "i64").get(), low: f.param(1, "i64").get(), exponent: f.param(2, "i32").get() };
    const { square, pair, normalise } = call(f, env);
    const t = square(x);
    const r = normalise(pair("seriesCosine", t.high, t.low), 0);
    f.return(r.high, r.low, r.exponent);
  }),

  trigonometric("fsin", "sine"),
  trigonometric("fcos", "cosine"),
  trigonometric("fsincos", "both"),
  trigonometric("fptan", "tangent"),

  /** arctan of a number of at most 1: arctan(k/16) + arctan((x - k/16) / (1 + x k/16)) for the nearest k. */
  x87("arctangent", "i64 i64 i32", "i64 i64 i32", (f, env) => {
    const x = { high: f.param(0, "i64").get(), low: f.param(1, "i64").get(), exponent: f.param(2, "i32").get() };
    const { square, pair, scale, toFixed, normalise, divide, add } = call(f, env);
    const small = (z: Wide): Wide => {
      const t = square(z);
      return scale(z, pair("seriesArctangent", t.high, t.low));
    };
    f.if(x.exponent.ltS(-5), () => {
      const r = small(x);
      f.return(r.high, r.low, r.exponent);
    });
    const value = toFixed(x);
    const k = f.let(value.high.shrU(58).wrap().add(1).shrU(1));
    const table = choice(f);
    f.switch(
      f.let(k.sub(1)),
      Array.from({ length: 15 }, (_, i) => () => table.take(constant(arctangent(BigInt(i + 1), 16n)))),
      () => table.take(constant(arctangent(1n, 1n))),
    );
    // x - k/16, and the half of 1 + x k/16.
    const base = f.let(k.extendU().shl(59));
    const negative = f.let(value.high.ltU(base));
    const up = { high: f.let(value.high.sub(base)), low: value.low };
    const down = {
      high: f.let(i64(0).sub(up.high).sub(up.low.ne(0).extendU())),
      low: f.let(i64(0).sub(up.low)),
    };
    const distance = {
      high: f.let(select(negative, down.high, up.high)),
      low: f.let(select(negative, down.low, up.low)),
    };
    f.if(distance.high.or(distance.low).eqz(), () => {
      const r = table.value();
      f.return(r.high, r.low, r.exponent);
    });
    const factor = f.let(k.extendU());
    const thirtySecond = {
      high: f.let(value.high.shrU(5)),
      low: f.let(value.low.shrU(5).or(value.high.shl(59))),
    };
    // Times k; the low word in two parts, for what it carries.
    const lowHalf = f.let(thirtySecond.low.and(0xffff_ffff).mul(factor));
    const highHalf = f.let(thirtySecond.low.shrU(32).mul(factor).add(lowHalf.shrU(32)));
    const half = {
      high: f.let(
        thirtySecond.high
          .mul(factor)
          .add(highHalf.shrU(32))
          .add(i64(1n << 62n)),
      ),
      low: f.let(highHalf.shl(32).or(lowHalf.and(0xffff_ffff))),
    };
    const z = divide(normalise(distance, 0), normalise(half, 1));
    const r = add(table.value(), small(z), negative);
    f.return(r.high, r.low, r.exponent);
  }),

  /** FPATAN: the angle of the point (ST(0), ST(1)), in ST(1); pops. */
  x87("fpatan", "", "", (f, env) => {
    const u = unit(f, env);
    const [x, y] = [register(u, env, 0), register(u, env, 1)];
    const out = unrounded(f);
    const { triple, divide, add } = call(f, env);
    f.if(
      is(x.kind.or(y.kind), CANNOT),
      () => propagate(u, out, y, x),
      () => {
        denormalOperand(u, x.kind.or(y.kind));
        // Rank by size where one is zero or infinite: 1, 2, 4.
        const [xRank, yRank] = [f.let(x.kind.and(7)), f.let(y.kind.and(7))];
        f.if(
          xRank.and(yRank).and(KIND.finite),
          () => {
            const wide = (n: typeof x): Wide => ({ high: n.mantissa, low: i64(0), exponent: n.exponent });
            const steep = f.let(
              y.exponent.gtS(x.exponent).or(y.exponent.eq(x.exponent).and(y.mantissa.gtU(x.mantissa))),
            );
            const quotient = choice(f);
            f.if(
              steep,
              () => quotient.take(divide(wide(x), wide(y))),
              () => quotient.take(divide(wide(y), wide(x))),
            );
            const angle = choice(f);
            const q = quotient.value();
            f.if(q.exponent.ltS(ARCTANGENT_SERIES), () => quotient.take(cut(f, q)));
            const same = f.let(q.exponent.ltS(ARCTANGENT_SMALLEST));
            f.if(
              same,
              () => angle.take(q),
              () => angle.take(triple("arctangent", q.high, q.low, q.exponent)),
            );
            f.if(steep, () => angle.take(add(constant(PI / 2n), angle.value(), i32(1))));
            f.if(x.sign, () => angle.take(add(constant(PI), angle.value(), i32(1))));
            inexact(out, y.sign, angle.value());
            f.if(same.and(x.sign.or(steep).eqz()), () => {
              raise(u, FLAG.PE);
              out.low.set(q.low);
            });
          },
          () =>
            f.if(
              xRank.eq(yRank),
              () =>
                // Both zero, or both infinite.
                f.if(
                  is(xRank, KIND.zero),
                  () =>
                    f.if(
                      x.sign,
                      () => known(out, y.sign, PI),
                      () => pass(u, out, y),
                    ),
                  () =>
                    f.if(
                      x.sign,
                      () => known(out, y.sign, quarters(3n)),
                      () => known(out, y.sign, quarters(1n)),
                    ),
                ),
              () =>
                f.if(
                  yRank.gtU(xRank),
                  () => known(out, y.sign, quarters(2n)),
                  () =>
                    f.if(
                      x.sign,
                      () => known(out, y.sign, PI),
                      () => set(out, i32(KIND.zero), y.sign, i32(0), i64(0)),
                    ),
                ),
            ),
        );
      },
    );
    finish(u, env, 1, out, f.let(isEmpty(f, env, 0).or(isEmpty(f, env, 1))), FULL, 1);
  }),
];
