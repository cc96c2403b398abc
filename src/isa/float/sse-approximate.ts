/**
 * RCP and RSQRT (SDM vol. 1, 5.5.1.2): neither flags nor exceptions, and MXCSR has no part in them. The results are
 * those of Intel processors: the value in the middle of an interval of operands, rounded to 13 bits (cpu/float/sse-approximate.ts).
 * In the middle of the range of exponents binary32 arithmetic finds it: before it is rounded to 13 bits the quotient
 * is never so close to a tie that its own rounding matters, but for one of 2048 intervals, which a
 * dividend just below one puts right. Both were compared for every interval.
 */
import type { Context, Meaning, Vec } from "../context.ts";
import { insn, type Row } from "../row.ts";
import { guarded, lane, outsideLanes, SINGLE, source, splat, vector } from "./sse-guard.ts";

interface Approximation {
  readonly name: "rcp" | "rsqrt";
  /** Bits of the significand that count, and the bit below them: the middle. */
  readonly kept: bigint;
  readonly middle: bigint;
}
const RCP: Approximation = { name: "rcp", kept: 0xffff_f000n, middle: 0x800n };
const RSQRT: Approximation = { name: "rsqrt", kept: 0xffff_e000n, middle: 0x1000n };

const ONE = 0x3f80_0000n;
const BELOW_ONE = ONE - 1n;
const HALF_OF_LAST = 0x400n;
const THIRTEEN_BITS = 0xffff_f800n;

function approximate(m: Context, { name, kept, middle }: Approximation, a: Vec): Vec {
  const outside = outsideLanes(SINGLE, a);
  const unless = name === "rcp" ? outside : outside.or(a.test("i32x4.bitmask"));
  return guarded(
    m,
    [unless],
    () => {
      const x = a.and(splat(SINGLE, kept)).or(splat(SINGLE, middle));
      const quotient =
        name === "rcp"
          ? splat(SINGLE, BELOW_ONE).op("f32x4.div", x)
          : splat(SINGLE, ONE).op("f32x4.div", x.op("f32x4.sqrt"));
      return quotient.op("i32x4.add", splat(SINGLE, HALF_OF_LAST)).and(splat(SINGLE, THIRTEEN_BITS));
    },
    () => m.runtimeFor("v128", `sse.${name}ps`, a),
  );
}

const packed =
  (what: Approximation): Meaning =>
  (m, dst, src) =>
    dst!.writeVec(approximate(m, what, src!.readVec()));
const scalar =
  (what: Approximation): Meaning =>
  (m, dst, src) => {
    const result = approximate(m, what, m.f.let(vector(SINGLE, source(src!))));
    dst!.writeVec(dst!.readVec().withLane("i32x4", 0, lane(SINGLE, result)));
  };

export const SSE_APPROXIMATE: Row[] = [
  ...insn("RSQRTPS", packed(RSQRT), "NP 0F 52 /r | w:xmm, xmmm128 | sse"),
  ...insn("RSQRTSS", scalar(RSQRT), "F3 0F 52 /r | rw:xmm, xmmm32 | sse"),
  ...insn("RCPPS", packed(RCP), "NP 0F 53 /r | w:xmm, xmmm128 | sse"),
  ...insn("RCPSS", scalar(RCP), "F3 0F 53 /r | rw:xmm, xmmm32 | sse"),
];
