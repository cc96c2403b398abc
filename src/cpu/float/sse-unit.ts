/**
 * What SSE adds to the core: operations take their control word from MXCSR, their flags gather in the state field
 * `floatFlags` while all lanes are computed, and then go into MXCSR at once or make the instruction fault
 * (SDM vol. 1, 11.5).
 */
import { type FunctionBuilder, type I32, type I64, i32, i64, select, type Vec } from "../../wasm/index.ts";
import { type RuntimeEnv, type RuntimeFunction, runtime } from "../runtime/define.ts";
import { CONTROL, FLAG } from "./format.ts";
import type { FloatUnit } from "./unit.ts";

const XM_VECTOR = 19;
const UD_VECTOR = 6;
const CR4_OSXMMEXCPT = 1 << 10;
const ALL_FLAGS = 0x3f;
const BEFORE = FLAG.IE | FLAG.DE | FLAG.ZE;

/** A function on one lane: integers in, the lane's bits out. Flags are OR-ed into `floatFlags`. `early` may return by itself. */
export function laneFunction(
  name: string,
  params: string,
  result: "i32" | "i64",
  build: (u: FloatUnit, f: FunctionBuilder) => I32 | I64,
  early: (f: FunctionBuilder, env: RuntimeEnv) => void = () => undefined,
): RuntimeFunction {
  return runtime(name, params, result, (f, env) => {
    early(f, env);
    const u: FloatUnit = { f, control: f.let(env.get("mxcsr")), flags: f.local("i32"), nan: "sse" };
    const value = f.let<I32 | I64>(build(u, f));
    env.set("floatFlags", env.get("floatFlags").or(u.flags.get()));
    f.return(value);
  });
}

/**
 * A whole instruction: clears `floatFlags`, computes, and finishes. Returns 0, or 1 with the exception pending.
 * The result is in `floatVector` (or `floatMantissa` for integers), where `build` puts it.
 */
export function instruction(
  name: string,
  params: string,
  build: (f: FunctionBuilder, env: RuntimeEnv) => void,
): RuntimeFunction {
  return runtime(name, params, "i32", (f, env) => {
    f.if(env.get("floatGather").eqz(), () => env.set("floatFlags", i32(0)));
    build(f, env);
    // Where this is one lane of several, the exceptions of all are raised at their end.
    f.if(env.get("floatGather"), () => f.return(i32(0)));
    f.return(f.callFor("i32", env.fn("sse.finish")));
  });
}

/**
 * Flags to MXCSR, and the exception if one of them is unmasked: #XM, or #UD where the system has not said that it
 * handles it. Where IE, DE or ZE is unmasked the operation was not carried out, so OE, UE and PE are not reported.
 */
export const SSE_FINISH = runtime("sse.finish", "", "i32", (f, env) => {
  const mxcsr = f.let(env.get("mxcsr"));
  env.set("floatGather", i32(0));
  const flags = f.variable(env.get("floatFlags").and(ALL_FLAGS));
  const unmasked = mxcsr.shrU(CONTROL.maskShift).not();
  f.if(flags.get().and(unmasked).and(BEFORE), () => flags.set(flags.get().and(BEFORE)));
  env.set("mxcsr", mxcsr.or(flags.get()));
  env.set("sseQuick", i32(0));
  f.if(flags.get().and(unmasked), () => {
    const handled = env.get("cr4", "i64").wrap().and(CR4_OSXMMEXCPT);
    env.set("faultVector", select(handled, i32(XM_VECTOR), i32(UD_VECTOR)));
    env.set("faultError", i32(-1));
    f.return(i32(1));
  });
  f.return(i32(0));
});

/** The lanes of an operation: binary32 or binary64. */
export type Lanes = "i32x4" | "i64x2";
export const laneCount = (shape: Lanes): 2 | 4 => (shape === "i32x4" ? 4 : 2);

/** A lane as 64 bits, binary32 zero-extended. */
export const laneBits = (v: Vec, shape: Lanes, index: number): I64 =>
  shape === "i32x4" ? v.lane("i32x4", index).extendU() : v.lane("i64x2", index);
/** Sets a lane from 64 bits. */
export const withBits = (v: Vec, shape: Lanes, index: number, bits: I64): Vec =>
  v.withLane(shape, index, shape === "i32x4" ? bits.wrap() : bits);

export const allOnes = (condition: I32): I64 => i64(0).sub(condition.nez().extendU());
