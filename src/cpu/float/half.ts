/**
 * Half precision (SDM vol. 1, 14.4): the slow path of VCVTPH2PS and VCVTPS2PH on four lanes. Neither heeds FTZ, and widening neither DAZ nor
 * raises DE.
 */
import { select, v128 } from "../../wasm/index.ts";
import type { RuntimeFunction } from "../runtime/define.ts";
import { convert } from "./convert.ts";
import { BINARY16, BINARY32, CONTROL } from "./format.ts";
import { pass } from "./nan.ts";
import { roundPack } from "./round.ts";
import { instruction, laneFunction } from "./sse-unit.ts";
import { unrounded } from "./unit.ts";
import { unpack } from "./unpack.ts";

const LANES = 4;
const ZERO = v128(new Uint8Array(16));

export const HALF_FUNCTIONS: readonly RuntimeFunction[] = [
  laneFunction("half.lane.widen", "i64", "i64", (unit, f) => {
    const u = { ...unit, control: f.let(unit.control.and(~CONTROL.daz)) };
    const out = unrounded(f);
    pass(u, out, unpack(u, BINARY16, f.param(0, "i64").get()));
    return roundPack(u, BINARY32, out);
  }),
  /** (bits, imm8): bit 2 of imm8 takes the rounding mode from MXCSR. */
  laneFunction("half.lane.narrow", "i64 i32", "i64", (unit, f) => {
    const imm = f.param(1, "i32").get();
    const own = unit.control.and(~(3 << CONTROL.roundingShift)).or(imm.and(3).shl(CONTROL.roundingShift));
    const u = { ...unit, control: f.let(select(imm.and(4), unit.control, own).and(~CONTROL.ftz)) };
    return roundPack(u, BINARY16, convert(u, unpack(u, BINARY32, f.param(0, "i64").get())));
  }),
  instruction("half.widen", "v128", (f, env) => {
    const source = f.param(0, "v128").get();
    const out = f.variable(ZERO);
    for (let i = 0; i < LANES; i++) {
      const bits = source.lane("i16x8", i).extendU();
      out.set(out.get().withLane("i32x4", i, f.callFor("i64", env.fn("half.lane.widen"), bits).wrap()));
    }
    env.set("floatVector", out.get());
  }),
  instruction("half.narrow", "v128 i32", (f, env) => {
    const source = f.param(0, "v128").get();
    const out = f.variable(ZERO);
    for (let i = 0; i < LANES; i++) {
      const bits = source.lane("i32x4", i).extendU();
      const half = f.callFor("i64", env.fn("half.lane.narrow"), bits, f.param(1, "i32").get()).wrap();
      out.set(out.get().withLane("i16x8", i, half));
    }
    env.set("floatVector", out.get());
  }),
];
