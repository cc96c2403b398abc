/** Division of 128 bits by 64, in two steps of 32-bit digits (Knuth, The Art of Computer Programming, 4.3.1, algorithm D). */
import type { FunctionBuilder, I64 } from "../../wasm/index.ts";
import { runtime } from "./define.ts";

const LOW = 0xffff_ffff;

/**
 * One digit of the quotient: `remainder` below `divisor`, followed by `digit`, over `divisor`, whose top bit is set.
 * The guess from the divisor's upper half is at most two too large.
 */
function step(f: FunctionBuilder, remainder: I64, digit: I64, divisor: I64): [quotient: I64, rest: I64] {
  const upper = f.let(divisor.shrU(32));
  const lower = f.let(divisor.and(LOW));
  const guess = f.variable(remainder.divU(upper));
  const rest = f.variable(remainder.sub(guess.get().mul(upper)));
  f.block((done) => {
    f.loop((again) => {
      const fits = guess
        .get()
        .leU(LOW)
        .and(guess.get().mul(lower).leU(rest.get().shl(32).or(digit)));
      f.brIf(done, fits);
      guess.set(guess.get().sub(1));
      rest.set(rest.get().add(upper));
      f.brIf(again, rest.get().leU(LOW));
    });
  });
  const quotient = f.let(guess.get());
  return [quotient, f.let(remainder.shl(32).or(digit).sub(quotient.mul(divisor)))];
}

export const DIVIDE_FUNCTIONS = [
  /** (high, low, divisor) → quotient. The caller has seen that high is below the divisor, so the quotient fits. */
  runtime("divide_128", "i64 i64 i64", "i64", (f) => {
    const shift = f.let(f.param(2, "i64").get().clz());
    const divisor = f.let(f.param(2, "i64").get().shl(shift));
    const low = f.let(f.param(1, "i64").get().shl(shift));
    // Shifting by 64 in two steps, as a shift of zero must bring nothing in.
    const carried = f.param(1, "i64").get().shrU(1).shrU(shift.xor(63));
    const high = f.let(f.param(0, "i64").get().shl(shift).or(carried));
    const [first, rest] = step(f, high, low.shrU(32), divisor);
    const [second] = step(f, rest, low.and(LOW), divisor);
    f.return(first.shl(32).or(second));
  }),
];
