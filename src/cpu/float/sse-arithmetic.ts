/**
 * The slow path of SSE arithmetic: one function per operation and format for a lane, and one per instruction that
 * takes (destination, source) and leaves the new destination in `floatVector`.
 */
import { type I64, i32, i64, select, v128 } from "../../wasm/index.ts";
import type { RuntimeFunction } from "../runtime/define.ts";
import { add, divide, multiply, squareRoot } from "./arithmetic.ts";
import { compare, ORDER } from "./convert.ts";
import { BINARY32, BINARY64, type Format } from "./format.ts";
import { roundPack } from "./round.ts";
import { quick } from "./sse-quick.ts";
import { instruction, type Lanes, laneBits, laneCount, laneFunction, withBits } from "./sse-unit.ts";
import { type FloatUnit, is, KIND, type Unpacked } from "./unit.ts";
import { unpack } from "./unpack.ts";

type Lane = (u: FloatUnit, format: Format, a: Unpacked, b: Unpacked, packedA: I64, packedB: I64) => I64;

/** MIN and MAX: the source unless the destination is less (greater); NaNs raise IE and give the source unchanged. */
const extreme =
  (order: number): Lane =>
  (u, format, a, b, packedA, packedB) => {
    const wanted = u.f.let(compare(u, a, b, false).eq(order));
    const [kind, packed] = [select(wanted, a.kind, b.kind), select(wanted, packedA, packedB)];
    // A denormal that DAZ made a zero is returned as a zero.
    const sign = 1n << BigInt(format.precision + format.exponentBits - 1);
    return select(is(kind, KIND.zero), packed.and(sign), packed);
  };

const LANE_OPERATIONS: Record<string, Lane> = {
  add: (u, format, a, b) => roundPack(u, format, add(u, a, b)),
  sub: (u, format, a, b) => roundPack(u, format, add(u, a, b, i32(1))),
  mul: (u, format, a, b) => roundPack(u, format, multiply(u, a, b)),
  div: (u, format, a, b) => roundPack(u, format, divide(u, a, b)),
  sqrt: (u, format, _, b) => roundPack(u, format, squareRoot(u, b)),
  min: extreme(ORDER.less),
  max: extreme(ORDER.greater),
};

/** Comparison of a lane for COMIS (signalling), UCOMIS (quiet) and CMP: (a, b, quiet) → one of ORDER. */
function compareLane(name: string, format: Format): RuntimeFunction {
  return laneFunction(`sse.compare.${name}`, "i64 i64 i32", "i32", (u, f) =>
    compare(
      u,
      unpack(u, format, f.param(0, "i64").get()),
      unpack(u, format, f.param(1, "i64").get()),
      f.param(2, "i32").get(),
    ),
  );
}

const FORMATS: readonly [string, Format, Lanes][] = [
  ["s", BINARY32, "i32x4"],
  ["d", BINARY64, "i64x2"],
];

function arithmetic(name: string, lane: Lane): RuntimeFunction[] {
  return FORMATS.flatMap(([letter, format, shape]) => {
    const scalar = `sse.${name}.${letter}`;
    const whole = (suffix: string, lanes: number, call: (index: number) => string = () => scalar) =>
      instruction(`sse.${name}${suffix}${letter}`, "v128 v128", (f, env) => {
        const [a, b] = [f.param(0, "v128").get(), f.param(1, "v128").get()];
        const out = f.variable(a);
        for (let i = 0; i < lanes; i++) {
          const value = f.callFor("i64", env.fn(call(i)), laneBits(a, shape, i), laneBits(b, shape, i));
          out.set(withBits(out.get(), shape, i, value));
        }
        env.set("floatVector", out.get());
      });
    return [
      laneFunction(
        scalar,
        "i64 i64",
        "i64",
        (u, f) => {
          const [a, b] = [f.param(0, "i64").get(), f.param(1, "i64").get()];
          return lane(u, format, unpack(u, format, a), unpack(u, format, b), a, b);
        },
        (f, env) => quick(f, env, name, format, f.param(0, "i64").get(), f.param(1, "i64").get()),
      ),
      whole("s", 1),
      whole("p", laneCount(shape)),
      // ADDSUBPS and PD: the even lanes subtract.
      ...(name === "add" ? [whole("subp", laneCount(shape), (i) => `sse.${i % 2 ? "add" : "sub"}.${letter}`)] : []),
    ];
  });
}

/** Which of ORDER a CMP predicate accepts, and whether it is quiet (SDM vol. 2, CMPPD, table 3-1, predicates 0-15). */
const PREDICATES: readonly { readonly accepts: number; readonly quiet: boolean }[] = [
  { accepts: ORDER.equal, quiet: true },
  { accepts: ORDER.less, quiet: false },
  { accepts: ORDER.less | ORDER.equal, quiet: false },
  { accepts: ORDER.unordered, quiet: true },
  { accepts: ORDER.less | ORDER.greater | ORDER.unordered, quiet: true },
  { accepts: ORDER.equal | ORDER.greater | ORDER.unordered, quiet: false },
  { accepts: ORDER.greater | ORDER.unordered, quiet: false },
  { accepts: ORDER.less | ORDER.equal | ORDER.greater, quiet: true },
  { accepts: ORDER.equal | ORDER.unordered, quiet: true },
  { accepts: ORDER.less | ORDER.unordered, quiet: false },
  { accepts: ORDER.less | ORDER.equal | ORDER.unordered, quiet: false },
  { accepts: 0, quiet: true },
  { accepts: ORDER.less | ORDER.greater, quiet: true },
  { accepts: ORDER.equal | ORDER.greater, quiet: false },
  { accepts: ORDER.greater, quiet: false },
  { accepts: ORDER.less | ORDER.equal | ORDER.greater | ORDER.unordered, quiet: true },
];

const COMPARE = FORMATS.flatMap(([letter, format, shape]) => {
  const scalar = `sse.compare.${letter}`;
  const accepts = PREDICATES.reduce((all, p, i) => all | (BigInt(p.accepts) << BigInt(4 * i)), 0n);
  // Predicates 16 to 31 accept the same, and are quiet where those are not.
  const quiet = PREDICATES.reduce((all, p, i) => all | (Number(p.quiet) << i) | (Number(!p.quiet) << (16 + i)), 0);
  /** CMPccxx: (destination, source, predicate). */
  const cmp = (suffix: string, lanes: number) =>
    instruction(`sse.cmp${suffix}${letter}`, "v128 v128 i32", (f, env) => {
      const [a, b] = [f.param(0, "v128").get(), f.param(1, "v128").get()];
      const predicate = f.let(f.param(2, "i32").get());
      const wanted = f.let(i64(accepts).shrU(predicate.and(15).shl(2).extendU()).wrap().and(15));
      const silent = f.let(i32(quiet).shrU(predicate).and(1));
      const out = f.variable(a);
      for (let i = 0; i < lanes; i++) {
        const order = f.callFor("i32", env.fn(scalar), laneBits(a, shape, i), laneBits(b, shape, i), silent);
        out.set(withBits(out.get(), shape, i, i64(0).sub(order.and(wanted).nez().extendU())));
      }
      env.set("floatVector", out.get());
    });
  return [
    compareLane(letter, format),
    cmp("s", 1),
    cmp("p", laneCount(shape)),
    /** COMIS, UCOMIS: (a, b, quiet); the order goes to `floatMantissa`. */
    instruction(`sse.comis${letter}`, "i64 i64 i32", (f, env) => {
      const order = f.callFor(
        "i32",
        env.fn(scalar),
        f.param(0, "i64").get(),
        f.param(1, "i64").get(),
        f.param(2, "i32").get(),
      );
      env.set("floatMantissa", order.extendU());
    }),
  ];
});

/**
 * DPPS and DPPD: products of the lanes that imm8[7:4] names (the others +0), summed pairwise; the sum to the lanes that
 * imm8[3:0] names. Every step reports its exceptions, and an unmasked one ends the operation (SDM vol. 2, DPPS). Each
 * lane adds in an order of its own, which shows where several products are NaNs; the order is what Intel processors do.
 */
const dot = (name: string, [letter, , shape]: (typeof FORMATS)[number], count: 1 | 2) =>
  instruction(name, `${"v128 v128 ".repeat(count)}i32`, (f, env) => {
    const imm = f.param(2 * count, "i32").get();
    const lanes = laneCount(shape);
    const all = Array.from({ length: lanes * count }, (_, i) => i);
    const lane = (i: number, second: 0 | 1) =>
      laneBits(f.param(2 * Math.floor(i / lanes) + second, "v128").get(), shape, i % lanes);
    const step = (name: string, x: I64, y: I64) => f.callFor("i64", env.fn(`sse.${name}.${letter}`), x, y);
    const report = () => {
      f.if(f.callFor("i32", env.fn("sse.finish")), () => f.return(i32(1)));
      env.set("floatFlags", i32(0));
    };
    const products = all.map((i) =>
      f.choose(
        imm.and(16 << (i % lanes)),
        () => step("mul", lane(i, 0), lane(i, 1)),
        () => i64(0),
      ),
    );
    report();
    let sums = products.map((own, i) =>
      lanes === 4 ? step("add", products[i ^ 1]!, own) : step("add", own, products[i ^ 1]!),
    );
    report();
    if (lanes === 4) sums = sums.map((own, i) => step("add", own, sums[i ^ 2]!));
    const result = (half: number) =>
      all
        .slice(half * lanes, (half + 1) * lanes)
        .reduce(
          (out, i) => withBits(out, shape, i % lanes, select(imm.and(1 << (i % lanes)), sums[i]!, i64(0))),
          v128(new Uint8Array(16)),
        );
    env.set("floatVector", result(0));
    if (count === 2) env.set("floatUpper", result(1));
  });

/** VDPPS alone has 256 bits: each step of both halves is reported at once. */
const DOT = [...FORMATS.map((format) => dot(`sse.dp${format[0]}`, format, 1)), dot("sse.dps256", FORMATS[0]!, 2)];

export const SSE_ARITHMETIC = [
  ...Object.entries(LANE_OPERATIONS).flatMap(([name, lane]) => arithmetic(name, lane)),
  ...COMPARE,
  ...DOT,
];
