/** x87 basic arithmetic, remainders, scaling (SDM vol. 1, 8.3.5; vol. 2A for special cases), over the soft-float core. */
import { type FunctionBuilder, type I32, type I64, i32, select } from "../../wasm/index.ts";
import type { RuntimeEnv } from "../runtime/define.ts";
import { add, denormalOperand, divide, multiply, squareRoot } from "./arithmetic.ts";
import { roundToIntegral } from "./convert.ts";
import { BINARY32, BINARY64, FLAG } from "./format.ts";
import { type Extended, type RoundOptions, roundExtended } from "./round.ts";
import { type FloatUnit, raise, type Unpacked, type Unrounded } from "./unit.ts";
import { unpack, unpackExtended, unpackInteger } from "./unpack.ts";
import { product, type Compute as Quick, quickBinary, quotient, sum } from "./x87-quick.ts";
import {
  C1,
  DE,
  IE,
  isEmpty,
  orIndefinite,
  passes,
  pop,
  readValue,
  SF,
  slot,
  UNDERFLOW,
  unit,
  writeSt,
  x87,
  ZE,
} from "./x87-registers.ts";

/** Where a source operand comes from: a register, or bits of a memory format. */
export const SOURCE = { register: 0, single: 1, double: 2, integer: 3 } as const;

/** Exceptions found before an operation computes: unmasked, they leave everything as it was. */
export const BEFORE = IE | DE | ZE;
/** Unmasked overflow and underflow move the exponent by this (8.5.4, 8.5.5). */
export const REBIAS = 24576;
/** Results that precision control has no part in (8.1.5.2). */
export const FULL: RoundOptions = { precision: 64, rebias: REBIAS };

export function register(u: FloatUnit, env: RuntimeEnv, i: I32 | number): Unpacked {
  const { m, se } = readValue(u.f, slot(u.f, env, i));
  return unpackExtended(u, se, m);
}

/** Writes the fields a branch decides on into one set of locals. */
export function merged(f: FunctionBuilder) {
  const into = { kind: f.local("i32"), sign: f.local("i32"), exponent: f.local("i32"), mantissa: f.local("i64") };
  return {
    take: (from: Unpacked): void => {
      into.kind.set(from.kind);
      into.sign.set(from.sign);
      into.exponent.set(from.exponent);
      into.mantissa.set(from.mantissa);
    },
    value: (): Unpacked => ({
      kind: into.kind.get(),
      sign: into.sign.get(),
      exponent: into.exponent.get(),
      mantissa: into.mantissa.get(),
    }),
  };
}

/** The source operand (one of SOURCE), and 1 where it is an empty register. */
export function source(
  u: FloatUnit,
  env: RuntimeEnv,
  kind: I32,
  number: I32,
  bits: I64,
): { value: Unpacked; empty: I32 } {
  const { f } = u;
  const { take, value } = merged(f);
  const empty = f.local("i32");
  f.switch(
    kind,
    [
      () => {
        take(register(u, env, number));
        empty.set(isEmpty(f, env, number));
      },
      () => take(unpack(u, BINARY32, bits)),
      () => take(unpack(u, BINARY64, bits)),
    ],
    () => take(unpackInteger(f, bits)),
  );
  return { value: value(), empty: empty.get() };
}

/** Flags as they are raised: an unmasked exception found beforehand means that nothing was computed. */
export function raised(u: FloatUnit, env: RuntimeEnv, empty: I32): I32 {
  const { f } = u;
  const flags = f.let(select(empty, i32(UNDERFLOW), u.flags.get()));
  const stopped = flags.and(env.get("fcw").not()).and(BEFORE);
  return f.let(select(stopped, flags.and(BEFORE | SF), flags));
}

/**
 * Rounds to the register format. A result that was called inexact beforehand, though it needs no rounding
 * (transcendental functions of small arguments), underflows where it is a denormal.
 */
function packed(u: FloatUnit, result: Unrounded, options: RoundOptions): Extended {
  const rounded = roundExtended(u, result, options);
  const denormal = rounded.mantissa.ne(0).and(rounded.top.and(0x7fff).eqz());
  u.f.if(denormal.and(u.flags.get().and(FLAG.PE).nez()), () => raise(u, FLAG.UE));
  return rounded;
}

/** Rounds, signals, writes ST(dst) and pops; an empty operand gives the indefinite. */
export function finish(
  u: FloatUnit,
  env: RuntimeEnv,
  dst: I32 | number,
  result: Unrounded,
  empty: I32,
  options: RoundOptions = { rebias: REBIAS },
  pops: I32 | number = 0,
  then?: () => void,
): void {
  const { f } = u;
  const rounded = packed(u, result, options);
  const value = orIndefinite(f, empty, { m: rounded.mantissa, se: rounded.top });
  f.if(passes(f, env, raised(u, env, empty), BEFORE), () => {
    writeSt(f, env, dst, value);
    if (pops !== 0) pop(f, env, pops);
    then?.();
  });
}

/**
 * Rounds two results: the first replaces ST(0), the second is pushed. Where ST(0) is empty or ST(7) is not, both are
 * the indefinite. C1 tells how the last was rounded where `lastCounts`, else the first.
 */
export function finishPushing(
  u: FloatUnit,
  env: RuntimeEnv,
  first: Unrounded,
  second: Unrounded,
  empty: I32,
  lastCounts = false,
): void {
  const { f } = u;
  const full = f.let(isEmpty(f, env, 7).eqz());
  const wrong = f.let(empty.or(full));
  const below = packed(u, first, FULL);
  if (lastCounts) u.flags.set(u.flags.get().and(~C1));
  const above = packed(u, second, FULL);
  const computed = select(full, i32(UNDERFLOW | C1), raised(u, env, i32(0)));
  f.if(passes(f, env, select(empty, i32(UNDERFLOW), computed), BEFORE), () => {
    writeSt(f, env, 0, orIndefinite(f, wrong, { m: below.mantissa, se: below.top }));
    env.set("ftop", env.get("ftop").sub(1).and(7));
    writeSt(f, env, 0, orIndefinite(f, wrong, { m: above.mantissa, se: above.top }));
  });
}

type Compute = (u: FloatUnit, a: Unpacked, b: Unpacked, negate: I32) => Unrounded;
export const REVERSE = 1;
export const NEGATE = 2;

/**
 * ST(dst) = ST(dst) op source, or source op ST(dst). Parameters: destination, kind of source (SOURCE), register
 * number, bits, REVERSE and NEGATE (subtraction), number of pops.
 */
function binary(name: string, compute: Compute, quick: Quick) {
  return x87(name, "i32 i32 i32 i64 i32 i32", "", (f, env) => {
    const dst = f.param(0, "i32").get();
    const how = f.param(4, "i32").get();
    const operand = { kind: f.param(1, "i32").get(), number: f.param(2, "i32").get(), bits: f.param(3, "i64").get() };
    quickBinary(f, env, quick, [BINARY32, BINARY64], dst, operand, how, f.param(5, "i32").get());
    const u = unit(f, env);
    const from = source(u, env, operand.kind, operand.number, operand.bits);
    const own = register(u, env, dst);
    const [a, b] = [merged(f), merged(f)];
    f.if(
      how.and(REVERSE),
      () => {
        a.take(from.value);
        b.take(own);
      },
      () => {
        a.take(own);
        b.take(from.value);
      },
    );
    const result = compute(u, a.value(), b.value(), how.shrU(1).and(1));
    const empty = f.let(isEmpty(f, env, dst).or(from.empty));
    finish(u, env, dst, result, empty, { rebias: REBIAS }, f.param(5, "i32").get());
  });
}

export const ARITHMETIC_FUNCTIONS = [
  binary("add", add, sum),
  binary("multiply", multiply, product),
  binary("divide", divide, quotient),

  x87("squareRoot", "", "", (f, env) => {
    const u = unit(f, env);
    finish(u, env, 0, squareRoot(u, register(u, env, 0)), isEmpty(f, env, 0));
  }),

  x87("roundToIntegral", "", "", (f, env) => {
    const u = unit(f, env);
    const value = register(u, env, 0);
    denormalOperand(u, value.kind);
    finish(u, env, 0, roundToIntegral(u, value), isEmpty(f, env, 0), FULL);
  }),
];
