/** 128-bit integer steps: products, quotients and square roots of 64-bit mantissas. */
import { type FunctionBuilder, type I64, i32, select } from "../../wasm/index.ts";

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
 * floor(sqrt(high:low)) for a number of at least 2^126, and whether there is a remainder (i64 0 or 1).
 * A bit at a time, 64 of them: square roots that need it are rare.
 */
export function squareRootWide(f: FunctionBuilder, high: I64, low: I64): { root: I64; half: I64; inexact: I64 } {
  // Remainder of up to 66 bits: restHigh:rest. Two bits of the number come in at each step.
  const root = f.local("i64");
  const rest = f.local("i64");
  const restHigh = f.local("i64");
  const numberHigh = f.variable(high);
  const numberLow = f.variable(low);
  const count = f.local("i32");
  const half = f.local("i64");
  f.loop((again) => {
    restHigh.set(restHigh.get().shl(2).or(rest.get().shrU(62)));
    rest.set(rest.get().shl(2).or(numberHigh.get().shrU(62)));
    numberHigh.set(numberHigh.get().shl(2).or(numberLow.get().shrU(62)));
    numberLow.set(numberLow.get().shl(2));
    // Try 4 * root + 1.
    const trial = f.let(root.get().shl(2).or(1));
    const trialHigh = f.let(root.get().shrU(62));
    const fits = f.let(
      restHigh
        .get()
        .gtU(trialHigh)
        .or(restHigh.get().eq(trialHigh).and(rest.get().geU(trial))),
    );
    f.if(fits, () => {
      const borrow = f.let(rest.get().ltU(trial).extendU());
      rest.set(rest.get().sub(trial));
      restHigh.set(restHigh.get().sub(trialHigh).sub(borrow));
    });
    count.set(count.get().add(1));
    // The 65th bit is the guard bit.
    f.if(
      count.get().eq(65),
      () => half.set(fits.extendU()),
      () => root.set(root.get().shl(1).or(fits.extendU())),
    );
    f.brIf(again, count.get().ltU(65));
  });
  const inexact = select(rest.get().or(restHigh.get()).eqz(), i32(0), i32(1)).extendU();
  return { root: root.get(), half: half.get(), inexact: f.let(inexact) };
}
