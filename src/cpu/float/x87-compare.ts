/** x87 comparisons (SDM vol. 1, 8.3.6 and 8.1.4). */
import { type FunctionBuilder, type I32, i32, i64, select } from "../../wasm/index.ts";
import type { RuntimeEnv } from "../runtime/define.ts";
import { compare, ORDER } from "./convert.ts";
import { KIND, type Unpacked } from "./unit.ts";
import { BEFORE, raised, register, source } from "./x87-arithmetic.ts";
import { attempt, quickOrder } from "./x87-quick.ts";
import { C0, C2, C3, isEmpty, passes, pop, signalOrKeep, unit, x87 } from "./x87-registers.ts";

// The result in EFLAGS (FCOMI): ZF PF CF stand where C3 C2 C0 do.
const CF = 1;
const PF = 4;
const ZF = 0x40;

/** Picks by ORDER; empty registers compare as unordered. */
function code(f: FunctionBuilder, order: I32, empty: I32, less: number, unordered: number, equal: number): I32 {
  const ordered = select(order.eq(ORDER.less), i32(less), select(order.eq(ORDER.equal), i32(equal), i32(0)));
  return f.let(select(empty.or(order.eq(ORDER.unordered)), i32(unordered), ordered));
}

/** Sets the condition code, also where an exception is unmasked; that keeps it from popping alone. */
function conclude(f: FunctionBuilder, env: RuntimeEnv, flags: I32, condition: I32, pops: I32): void {
  const popping = f.let(passes(f, env, flags, BEFORE));
  const status = env.get("fsw").and(~(C0 | C2 | C3));
  env.set("fsw", status.or(condition));
  f.if(popping, () => pop(f, env, pops));
}

export const COMPARE_FUNCTIONS = [
  /** FCOM, FUCOM, FICOM: kind of source, register, bits, 1 if quiet, number of pops. */
  x87("compare", "i32 i32 i64 i32 i32", "", (f, env) => {
    const u = unit(f, env);
    const other = source(u, env, f.param(0, "i32").get(), f.param(1, "i32").get(), f.param(2, "i64").get());
    const order = compare(u, register(u, env, 0), other.value, f.param(3, "i32").get());
    const empty = f.let(isEmpty(f, env, 0).or(other.empty));
    conclude(f, env, raised(u, env, empty), code(f, order, empty, C0, C0 | C2 | C3, C3), f.param(4, "i32").get());
  }),

  /** FTST: with zero. */
  x87("test", "", "", (f, env) => {
    const u = unit(f, env);
    const zero: Unpacked = { kind: i32(KIND.zero), sign: i32(0), exponent: i32(0), mantissa: i64(0) };
    const order = compare(u, register(u, env, 0), zero, false);
    const empty = isEmpty(f, env, 0);
    conclude(f, env, raised(u, env, empty), code(f, order, empty, C0, C0 | C2 | C3, C3), i32(0));
  }),

  /** FCOMI, FUCOMI: register, 1 if quiet, number of pops; returns ZF PF CF, also where an exception is unmasked. */
  x87("compareFlags", "i32 i32 i32", "i32", (f, env) => {
    const number = f.param(0, "i32").get();
    attempt(f, (unfit) => {
      const order = quickOrder(f, env, number, unfit);
      pop(f, env, f.param(2, "i32").get());
      f.return(code(f, order, i32(0), CF, CF | PF | ZF, ZF));
    });
    const u = unit(f, env);
    const order = compare(u, register(u, env, 0), register(u, env, number), f.param(1, "i32").get());
    const empty = f.let(isEmpty(f, env, 0).or(isEmpty(f, env, number)));
    const popping = f.let(
      signalOrKeep(f, env, raised(u, env, empty))
        .and(BEFORE)
        .eqz(),
    );
    f.if(popping, () => pop(f, env, f.param(2, "i32").get()));
    f.return(code(f, order, empty, CF, CF | PF | ZF, ZF));
  }),
];
