/**
 * RCP and RSQRT approximate with 12 bits: the value in the middle of a small interval, rounded to a multiple of 2^-13.
 * The intervals are 2^-11 wide for RCP and 2^-10 for RSQRT (relative to the power of two below). Worked out from
 * what Intel processors answer, which it equals for all significands. Denormals are zeros, in the operand and in the
 * result; there are no flags and no exceptions (SDM vol. 2, RCPPS and RSQRTPS).
 */
import { type Float, type FunctionBuilder, f64, type I32, i32, op, select } from "../../wasm/index.ts";
import { runtime } from "../runtime/define.ts";

const SIGN = 0x8000_0000;
const INFINITY = 0x7f80_0000;
const INDEFINITE = 0xffc0_0000;
const QUIET_BIT = 0x40_0000;
const SMALLEST_NORMAL = 0x80_0000;

/** A function on the bits of a binary32 number; NaNs are made quiet, zeros and denormals give infinity. */
function lane(name: string, normal: (f: FunctionBuilder, bits: I32, magnitude: I32, sign: I32) => I32) {
  return runtime(`sse.lane.${name}`, "i32", "i32", (f) => {
    const bits = f.param(0, "i32").get();
    const magnitude = f.let(bits.and(~SIGN));
    const sign = f.let(bits.and(SIGN));
    f.if(magnitude.gtU(INFINITY), () => f.return(bits.or(QUIET_BIT)));
    f.if(magnitude.ltU(SMALLEST_NORMAL), () => f.return(sign.or(INFINITY)));
    f.return(normal(f, bits, magnitude, sign));
  });
}

/** The result's bits from its exponent field and its significand as an integer of 13 bits. */
const assemble = (exponent: I32, significand: I32): I32 => exponent.shl(23).or(significand.and(0xfff).shl(11));

const RCP = lane("rcp", (f, _bits, magnitude, sign) => {
  // 4096 times the middle of the interval; 2^25 divided by it, rounded.
  const divisor = f.let(magnitude.shrU(11).and(0xffe).add(4097));
  const significand = i32(1 << 26)
    .add(divisor)
    .divU(divisor.shl(1));
  const exponent = f.let(i32(253).sub(magnitude.shrU(23)));
  return select(exponent.gtS(0), sign.or(assemble(exponent, significand)), sign);
});

const RSQRT = lane("rsqrt", (f, bits, magnitude) => {
  f.if(bits.ltS(0), () => f.return(i32(INDEFINITE)));
  f.if(magnitude.eq(INFINITY), () => f.return(i32(0)));
  // The middle of the interval as a number in [1, 4): an even power of two is taken out.
  const field = f.let(select(magnitude.and(SMALLEST_NORMAL), i32(0x3f80_0000), i32(0x4000_0000)));
  const middle = op("f32.reinterpret_i32", magnitude.and(0x7f_e000).or(0x1000).or(field));
  const root = (op("f64.promote_f32", middle) as Float<"f64">).sqrt();
  const significand = op("i32.trunc_f64_s", f64(8192).div(root).add(f64(0.5))) as I32;
  return f.let(assemble(i32(380).sub(magnitude.shrU(23)).shrU(1), f.let(significand)));
});

/** On four lanes: (source) → result. */
const WHOLE = ["rcp", "rsqrt"].map((name) =>
  runtime(`sse.${name}ps`, "v128", "v128", (f, env) => {
    const source = f.param(0, "v128").get();
    const out = f.variable(source);
    for (let i = 0; i < 4; i++) {
      out.set(out.get().withLane("i32x4", i, f.callFor("i32", env.fn(`sse.lane.${name}`), source.lane("i32x4", i))));
    }
    f.return(out.get());
  }),
);

export const SSE_APPROXIMATE = [RCP, RSQRT, ...WHOLE];
