/** The slow path of SSE conversions and ROUNDxx, laid out as in sse-arithmetic.ts. */
import { type I32, type I64, select, v128 } from "../../wasm/index.ts";
import type { RuntimeFunction } from "../runtime/define.ts";
import { convert, roundToIntegral, toInteger } from "./convert.ts";
import { BINARY32, BINARY64, CONTROL, FLAG, type Format } from "./format.ts";
import { set } from "./nan.ts";
import { roundPack } from "./round.ts";
import { quickDemote } from "./sse-quick.ts";
import { instruction, type Lanes, laneBits, laneCount, laneFunction, withBits } from "./sse-unit.ts";
import { unrounded } from "./unit.ts";
import { unpack, unpackInteger } from "./unpack.ts";

const FORMATS = { s: BINARY32, d: BINARY64 } as const;
const SHAPES: Record<string, Lanes> = { s: "i32x4", d: "i64x2", w: "i32x4", q: "i64x2" };
const ZERO = v128(new Uint8Array(16));

/** Lane functions: bits in, bits out. w and q are signed integers of 32 and 64 bits; t truncates. */
const LANES: RuntimeFunction[] = [
  ...(["sd", "ds"] as const).map((pair) => {
    const [from, to] = [FORMATS[pair[0] as "s" | "d"], FORMATS[pair[1] as "s" | "d"]];
    return laneFunction(
      `sse.lane.${pair[0]}.${pair[1]}`,
      "i64",
      "i64",
      (u, f) => roundPack(u, to, convert(u, unpack(u, from, f.param(0, "i64").get()))),
      (f, env) => {
        if (to === BINARY32) quickDemote(f, env, f.param(0, "i64").get());
      },
    );
  }),
  ...(["s", "d"] as const).flatMap((to) =>
    (["w", "q"] as const).map((from) =>
      laneFunction(`sse.lane.${from}.${to}`, "i64", "i64", (u, f) => {
        const value = f.param(0, "i64").get();
        const n = unpackInteger(f, f.let(from === "w" ? value.extendS() : value));
        const out = unrounded(f);
        set(out, n.kind, n.sign, n.exponent, n.mantissa);
        return roundPack(u, FORMATS[to], out);
      }),
    ),
  ),
  ...(["s", "d"] as const).flatMap((from) =>
    (["w", "q", "tw", "tq"] as const).map((to) =>
      laneFunction(`sse.lane.${from}.${to}`, "i64", "i64", (u, f) =>
        toInteger(u, unpack(u, FORMATS[from], f.param(0, "i64").get()), to.endsWith("w") ? 32 : 64, to.length > 1),
      ),
    ),
  ),
];

/** A packed conversion of `count` lanes from the low ones of the source to the low ones of the result, the rest zero. */
function packed(name: string, from: string, to: string, count: number): RuntimeFunction {
  return instruction(`sse.${name}`, "v128", (f, env) => {
    const source = f.param(0, "v128").get();
    const out = f.variable(ZERO);
    for (let i = 0; i < count; i++) {
      const value = f.callFor("i64", env.fn(`sse.lane.${from}.${to}`), laneBits(source, SHAPES[from]!, i));
      out.set(withBits(out.get(), SHAPES[to.at(-1)!]!, i, value));
    }
    env.set("floatVector", out.get());
  });
}

/** A scalar conversion: 64 bits in, the result in `floatMantissa`. */
const scalar = (name: string, from: string, to: string): RuntimeFunction =>
  instruction(`sse.${name}`, "i64", (f, env) => {
    env.set("floatMantissa", f.callFor("i64", env.fn(`sse.lane.${from}.${to}`), f.param(0, "i64").get()));
  });

/** ROUNDxx: (bits, imm8). Bit 2 of imm8 takes the mode from MXCSR, bit 3 keeps PE quiet. */
function roundLane(letter: "s" | "d", format: Format): RuntimeFunction {
  return laneFunction(`sse.round.${letter}`, "i64 i32", "i64", (u, f) => {
    const imm = f.param(1, "i32").get();
    const replaced = u.control.and(~(3 << CONTROL.roundingShift)).or(imm.and(3).shl(CONTROL.roundingShift));
    const control: I32 = f.let(select(imm.and(4), u.control, replaced));
    const bits: I64 = f.param(0, "i64").get();
    const n = roundToIntegral({ ...u, control }, unpack(u, format, bits));
    f.if(imm.and(8), () => u.flags.set(u.flags.get().and(~FLAG.PE)));
    return roundPack(u, format, n);
  });
}

const ROUND = (["s", "d"] as const).flatMap((letter) => {
  const shape = SHAPES[letter]!;
  const whole = (suffix: string, lanes: number) =>
    instruction(`sse.round${suffix}${letter}`, "v128 v128 i32", (f, env) => {
      const out = f.variable(f.param(0, "v128").get());
      const source = f.param(1, "v128").get();
      for (let i = 0; i < lanes; i++) {
        const bits = laneBits(source, shape, i);
        out.set(
          withBits(out.get(), shape, i, f.callFor("i64", env.fn(`sse.round.${letter}`), bits, f.param(2, "i32").get())),
        );
      }
      env.set("floatVector", out.get());
    });
  return [roundLane(letter, FORMATS[letter]), whole("s", 1), whole("p", laneCount(shape))];
});

/** The packed and scalar conversions: name, lane function, lanes. */
const CONVERSIONS: RuntimeFunction[] = [
  packed("cvtps2pd", "s", "d", 2),
  packed("cvtpd2ps", "d", "s", 2),
  packed("cvtdq2ps", "w", "s", 4),
  packed("cvtpi2ps", "w", "s", 2),
  packed("cvtps2dq", "s", "w", 4),
  packed("cvttps2dq", "s", "tw", 4),
  packed("cvtps2pi", "s", "w", 2),
  packed("cvttps2pi", "s", "tw", 2),
  packed("cvtpd2dq", "d", "w", 2),
  packed("cvttpd2dq", "d", "tw", 2),
  scalar("cvtss2sd", "s", "d"),
  scalar("cvtsd2ss", "d", "s"),
  scalar("cvtsi2ss", "q", "s"),
  scalar("cvtsi2sd", "q", "d"),
  ...(["s", "d"] as const).flatMap((from) => [
    scalar(`cvts${from}2si32`, from, "w"),
    scalar(`cvts${from}2si64`, from, "q"),
    scalar(`cvtts${from}2si32`, from, "tw"),
    scalar(`cvtts${from}2si64`, from, "tq"),
  ]),
];

export const SSE_CONVERT = [...LANES, ...CONVERSIONS, ...ROUND];
