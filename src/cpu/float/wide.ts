/** 128-bit integer steps: products, quotients and square roots of 64-bit mantissas. */
import { type F64, type FunctionBuilder, f64, type I64, op } from "../../wasm/index.ts";

const LOW_HALF = 0xffff_ffffn;

/** a * b as high and low halves. */
export function multiplyWide(f: FunctionBuilder, a: I64, b: I64): { high: I64; low: I64 } {
  const [aLow, aHigh] = [f.let(a.and(LOW_HALF)), f.let(a.shrU(32))];
  const [bLow, bHigh] = [f.let(b.and(LOW_HALF)), f.let(b.shrU(32))];
  const low = f.let(aLow.mul(bLow));
  const cross = f.let(aHigh.mul(bLow).add(low.shrU(32)));
  const middle = f.let(aLow.mul(bHigh).add(cross.and(LOW_HALF)));
  return {
    high: f.let(aHigh.mul(bHigh).add(cross.shrU(32)).add(middle.shrU(32))),
    low: f.let(middle.shl(32).or(low.and(LOW_HALF))),
  };
}

/**
 * high:low divided by a divisor with bit 63 set, high being below it: 64 bits of quotient and the remainder.
 * Two steps of schoolbook division in base 2^32 (Knuth, The Art of Computer Programming, 4.3.1, algorithm D).
 */
export function divideWide(f: FunctionBuilder, high: I64, low: I64, divisor: I64): { quotient: I64; remainder: I64 } {
  const [top, bottom] = [f.let(divisor.shrU(32)), f.let(divisor.and(LOW_HALF))];
  const step = (rest: I64, next: I64): { digit: I64; rest: I64 } => {
    const digit = f.variable(rest.divU(top));
    const left = f.variable(rest.sub(digit.get().mul(top)));
    // The estimate is at most two too large.
    f.block((done) => {
      f.loop((again) => {
        const fits = digit
          .get()
          .leU(LOW_HALF)
          .and(digit.get().mul(bottom).leU(left.get().shl(32).or(next)));
        f.brIf(done, fits);
        digit.set(digit.get().sub(1));
        left.set(left.get().add(top));
        f.brIf(again, left.get().leU(LOW_HALF));
      });
    });
    return {
      digit: digit.get(),
      rest: f.let(rest.shl(32).or(next).sub(digit.get().mul(divisor))),
    };
  };
  const first = step(high, f.let(low.shrU(32)));
  const second = step(first.rest, f.let(low.and(LOW_HALF)));
  return { quotient: f.let(first.digit.shl(32).or(second.digit)), remainder: second.rest };
}

/**
 * floor(sqrt(high:low)) for a number of at least 2^126; whether the next bit of the root is 1, and whether the root goes on
 * below its 64 bits (i64 0 or 1 each). A binary64 root has 53 bits right; one step of Newton's method brings the
 * rest but for the last place, and the remainder tells about that.
 */
export function squareRootWide(f: FunctionBuilder, high: I64, low: I64): { root: I64; half: I64; inexact: I64 } {
  const real = (e: I64) => op("f64.convert_i64_u", e) as F64;
  const estimate = f.let(
    op(
      "i64.trunc_sat_f64_u",
      real(high)
        .sqrt()
        .mul(f64(2 ** 32)),
    ) as I64,
  );
  const root = f.local("i64");
  const restHigh = f.local("i64");
  const restLow = f.local("i64");
  /** rest = number - root^2. */
  const remain = () => {
    const square = multiplyWide(f, root.get(), root.get());
    restLow.set(low.sub(square.low));
    restHigh.set(high.sub(square.high).sub(low.ltU(square.low).extendU()));
  };
  root.set(estimate);
  remain();
  const distance = (op("f64.convert_i64_s", restHigh.get()) as F64).mul(f64(2 ** 64)).add(real(restLow.get()));
  const correction = op("i64.trunc_sat_f64_s", distance.div(real(estimate)).mul(f64(0.5))) as I64;
  root.set(estimate.add(correction));
  // The estimate may be 2^64 rounded down, and its correction lead past the largest root.
  remain();
  f.while(
    () => restHigh.get().ltS(0),
    () => {
      root.set(root.get().sub(1));
      remain();
    },
  );
  // Room for one more: the remainder is above twice the root.
  f.while(
    () =>
      restHigh
        .get()
        .gtU(root.get().shrU(63))
        .or(
          restHigh
            .get()
            .eq(root.get().shrU(63))
            .and(restLow.get().gtU(root.get().shl(1))),
        ),
    () => {
      root.set(root.get().add(1));
      remain();
    },
  );
  // (root + 1/2)^2 is root^2 + root + 1/4.
  const half = restHigh.get().ne(0).or(restLow.get().gtU(root.get()));
  const inexact = restHigh.get().or(restLow.get()).ne(0);
  return { root: root.get(), half: f.let(half.extendU()), inexact: f.let(inexact.extendU()) };
}
