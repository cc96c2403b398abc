/** The high half of a 64-bit product: WebAssembly only has the low one. */
import { runtime } from "./define.ts";

const LOW = 0xffff_ffff;

export const MULTIPLY_FUNCTIONS = [
  runtime("multiply_high_u", "i64 i64", "i64", (f) => {
    const a = f.param(0, "i64").get();
    const b = f.param(1, "i64").get();
    const aLow = f.let(a.and(LOW));
    const aHigh = f.let(a.shrU(32));
    const bLow = f.let(b.and(LOW));
    const bHigh = f.let(b.shrU(32));
    // Neither sum can overflow: (2^32-1)^2 + 2 (2^32-1) is 2^64-1.
    const first = f.let(aHigh.mul(bLow).add(aLow.mul(bLow).shrU(32)));
    const second = f.let(aLow.mul(bHigh).add(first.and(LOW)));
    f.return(aHigh.mul(bHigh).add(first.shrU(32)).add(second.shrU(32)));
  }),

  /** A negative factor is 2^64 too large when read as unsigned: the other factor comes off the high half. */
  runtime("multiply_high_s", "i64 i64", "i64", (f, env) => {
    const a = f.param(0, "i64").get();
    const b = f.param(1, "i64").get();
    const high = f.callFor("i64", env.fn("multiply_high_u"), a, b);
    f.return(high.sub(a.and(b.shrS(63))).sub(b.and(a.shrS(63))));
  }),
];
