/** The high half of a 64-bit product: WebAssembly only has the low one. */
import type { FunctionBuilder } from "../../wasm/index.ts";
import type { I64 } from "../context.ts";

const LOW = 0xffff_ffff;

export function highUnsigned(f: FunctionBuilder, a: I64, b: I64): I64 {
  const aLow = f.let(a.and(LOW));
  const aHigh = f.let(a.shrU(32));
  const bLow = f.let(b.and(LOW));
  const bHigh = f.let(b.shrU(32));
  // Neither sum can overflow: (2^32-1)^2 + 2 (2^32-1) is 2^64-1.
  const first = f.let(aHigh.mul(bLow).add(aLow.mul(bLow).shrU(32)));
  const second = f.let(aLow.mul(bHigh).add(first.and(LOW)));
  return f.let(aHigh.mul(bHigh).add(first.shrU(32)).add(second.shrU(32)));
}

/** A negative factor is 2^64 too large when read as unsigned: the other factor comes off the high half. */
export function highSigned(f: FunctionBuilder, a: I64, b: I64): I64 {
  return f.let(
    highUnsigned(f, a, b)
      .sub(a.and(b.shrS(63)))
      .sub(b.and(a.shrS(63))),
  );
}
