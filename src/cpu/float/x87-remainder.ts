/** x87 remainders, scaling and extraction (SDM vol. 2A: FPREM, FPREM1, FSCALE, FXTRACT). */
import { type I32, i32, i64, select } from "../../wasm/index.ts";
import { denormalOperand, normalise } from "./arithmetic.ts";
import { CONTROL, EXTENDED80, FLAG, maxExponent } from "./format.ts";
import { invalid, pass, propagate, set } from "./nan.ts";
import { type FloatUnit, is, KIND, masked, NAN, raise, unrounded } from "./unit.ts";
import { FULL, finish, finishPushing, REBIAS, register } from "./x87-arithmetic.ts";
import { C0, C1, C2, C3, CONDITIONS, IE, isEmpty, unit, x87 } from "./x87-registers.ts";

const CANNOT = NAN | KIND.unsupported;

/** Where the first operand is the result as it is, even a denormal does not underflow. */
function untouched(u: FloatUnit, as: I32): FloatUnit {
  const masks = select(as, i32(FLAG.UE << CONTROL.maskShift), i32(0));
  return { ...u, control: u.f.let(u.control.or(masks)) };
}

/**
 * ST(0) rem ST(1), the quotient truncated (FPREM) or to nearest (FPREM1). Exponents 64 and more apart are reduced in
 * part, by 32 to 63 so that a multiple of 32 is left, as Intel's processors do it.
 */
function remainder(name: string, nearest: boolean) {
  return x87(name, "", "", (f, env) => {
    const u = unit(f, env);
    const [a, b] = [register(u, env, 0), register(u, env, 1)];
    const out = unrounded(f);
    const condition = f.local("i32");
    const divided = () => {
      const apart = f.let(a.exponent.sub(b.exponent));
      const partial = f.let(apart.gtS(63));
      // Exponent of the divisor's copy that is subtracted last.
      const steps = f.let(select(partial, apart.and(31).or(32), apart));
      const scale = f.let(a.exponent.sub(steps));
      const rest = f.variable(a.mantissa);
      const sign = f.variable(a.sign);
      const exponent = f.variable(select(apart.ltS(0), a.exponent, scale));
      const quotient = f.local("i32");
      const left = f.variable(steps);
      const carry = f.local("i32");
      f.if(left.get().geS(0), () =>
        f.loop((again) => {
          const fits = f.let(carry.get().or(rest.get().geU(b.mantissa)));
          quotient.set(quotient.get().shl(1).or(fits));
          f.if(fits, () => rest.set(rest.get().sub(b.mantissa)));
          f.if(left.get(), () => {
            carry.set(rest.get().shrU(63).wrap());
            rest.set(rest.get().shl(1));
            left.set(left.get().sub(1));
            f.br(again);
          });
        }),
      );
      if (nearest) {
        const flip = (remaining: () => void) => {
          remaining();
          sign.set(sign.get().xor(1));
          quotient.set(quotient.get().add(1));
        };
        const complement = f.let(b.mantissa.sub(rest.get()));
        const above = rest
          .get()
          .gtU(complement)
          .or(rest.get().eq(complement).and(quotient.get().and(1)));
        f.if(partial.eqz().and(apart.geS(0)).and(above), () => flip(() => rest.set(complement)));
        // The dividend lies between half the divisor and the divisor.
        f.if(apart.eq(-1).and(a.mantissa.gtU(b.mantissa)), () =>
          flip(() => rest.set(b.mantissa.shl(1).sub(a.mantissa))),
        );
      }
      const q = quotient.get();
      const bits = select(q.and(4), i32(C0), i32(0))
        .or(select(q.and(2), i32(C3), i32(0)))
        .or(select(q.and(1), i32(C1), i32(0)));
      condition.set(select(partial, i32(C2), bits));
      set(out, select(rest.get().eqz(), i32(KIND.zero), i32(KIND.finite)), sign.get(), exponent.get(), rest.get());
      f.if(rest.get().nez(), () => normalise(u, out));
    };
    const kinds = f.let(a.kind.or(b.kind));
    f.if(
      is(kinds, CANNOT),
      () => propagate(u, out, a, b),
      () =>
        f.if(
          is(a.kind, KIND.infinite).or(is(b.kind, KIND.zero)),
          () => invalid(u, out),
          () => {
            denormalOperand(u, kinds);
            f.if(is(a.kind, KIND.zero).or(is(b.kind, KIND.infinite)), () => pass(u, out, a), divided);
          },
        ),
    );
    const empty = f.let(isEmpty(f, env, 0).or(isEmpty(f, env, 1)));
    const stopped = f.let(empty.or(is(kinds, CANNOT)).or(u.flags.get().and(IE)));
    // An invalid operation or a NaN clears C2 and leaves C0 and C3.
    env.set("fsw", env.get("fsw").and(~C2));
    finish(untouched(u, is(b.kind, KIND.infinite)), env, 0, out, empty, FULL, 0, () =>
      f.if(stopped.eqz(), () => env.set("fsw", env.get("fsw").and(~CONDITIONS).or(condition.get()))),
    );
  });
}

/** Powers of two beyond these overflow or underflow whatever they scale. */
const LARGE_SCALE = 0x10000;

export const REMAINDER_FUNCTIONS = [
  remainder("remainder", false),
  remainder("remainderNearest", true),

  /** ST(0) * 2^trunc(ST(1)). */
  x87("scale", "", "", (f, env) => {
    const u = unit(f, env);
    const [a, b] = [register(u, env, 0), register(u, env, 1)];
    const out = unrounded(f);
    f.if(
      is(a.kind.or(b.kind), CANNOT),
      () => propagate(u, out, a, b),
      () => {
        // 0 * 2^infinity and infinity * 2^-infinity.
        const wrong = is(a.kind, KIND.zero).nez().and(b.sign.eqz()).or(is(a.kind, KIND.infinite).nez().and(b.sign));
        f.if(
          is(b.kind, KIND.infinite).nez().and(wrong),
          () => invalid(u, out),
          () => {
            denormalOperand(u, a.kind.or(b.kind));
            pass(u, out, a);
            f.if(is(a.kind, KIND.finite), () => {
              f.if(
                is(b.kind, KIND.infinite),
                () => out.kind.set(select(b.sign, i32(KIND.zero), i32(KIND.infinite))),
                () => {
                  const magnitude = f.local("i32");
                  f.if(is(b.kind, KIND.finite).nez().and(b.exponent.geS(0)), () =>
                    magnitude.set(
                      select(
                        b.exponent.gtS(15),
                        i32(LARGE_SCALE),
                        b.mantissa.shrU(i32(63).sub(b.exponent).extendU()).wrap(),
                      ),
                    ),
                  );
                  const by = f.let(magnitude.get());
                  const exponent = f.let(a.exponent.add(select(b.sign, i32(0).sub(by), by)));
                  out.exponent.set(exponent);
                  // Out of range even with the exponent moved: infinity or zero (8.5.4, 8.5.5).
                  const limit = maxExponent(EXTENDED80) + REBIAS;
                  f.if(exponent.gtS(limit).and(masked(u, FLAG.OE).eqz()), () => {
                    out.kind.set(i32(KIND.infinite));
                    raise(u, FLAG.OE | FLAG.PE | C1);
                  });
                  f.if(exponent.ltS(-limit + 1).and(masked(u, FLAG.UE).eqz()), () => {
                    out.kind.set(i32(KIND.zero));
                    raise(u, FLAG.UE | FLAG.PE);
                  });
                },
              );
            });
          },
        );
      },
    );
    const empty = f.let(isEmpty(f, env, 0).or(isEmpty(f, env, 1)));
    finish(untouched(u, is(b.kind, KIND.zero)), env, 0, out, empty, FULL);
  }),

  /** The exponent replaces ST(0), then the significand is pushed. */
  x87("extract", "", "", (f, env) => {
    const u = unit(f, env);
    const a = register(u, env, 0);
    const [significand, exponent] = [unrounded(f), unrounded(f)];
    denormalOperand(u, a.kind);
    pass(u, significand, a);
    significand.exponent.set(i32(0));
    f.if(
      is(a.kind, KIND.finite),
      () => {
        const e = a.exponent;
        const magnitude = f.let(select(e.ltS(0), i32(0).sub(e), e).extendU());
        const shift = f.let(magnitude.clz());
        const kind = select(e.eqz(), i32(KIND.zero), i32(KIND.finite));
        set(exponent, kind, e.shrU(31), i32(63).sub(shift.wrap()), magnitude.shl(shift));
      },
      () => {
        set(exponent, significand.kind.get(), significand.sign.get(), i32(0), significand.high.get());
        f.if(is(a.kind, KIND.infinite), () => exponent.sign.set(i32(0)));
        f.if(is(a.kind, KIND.zero), () => {
          raise(u, FLAG.ZE);
          set(exponent, i32(KIND.infinite), i32(1), i32(0), i64(0));
        });
      },
    );
    finishPushing(u, env, exponent, significand, isEmpty(f, env, 0));
  }),
];
