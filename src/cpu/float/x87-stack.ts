/** x87 data movement inside the register stack, constants, sign operations, FXAM (SDM vol. 1, 8.3.3 to 8.3.5). */
import { i32, i64, select } from "../../wasm/index.ts";
import {
  C0,
  C1,
  C2,
  C3,
  CONDITIONS,
  clearC1,
  exponentOf,
  INTEGER_BIT,
  isEmpty,
  isUnsupported,
  orIndefinite,
  pop,
  quickPush,
  readValue,
  signalOrKeep,
  signOf,
  slot,
  UNDERFLOW,
  unlessUnmasked,
  writeSt,
  writeValue,
  x87,
} from "./x87-registers.ts";

/** An operation on ST(0)'s sign bit: an empty register is a stack underflow, else nothing is raised. */
function signOperation(name: string, keep: number, flip: number) {
  return x87(name, "", "", (f, env) => {
    const empty = isEmpty(f, env, 0);
    const at = slot(f, env, 0);
    const { m, se } = readValue(f, at);
    f.if(empty.eqz(), () => {
      writeValue(f, at, { m, se: se.and(keep).xor(flip) });
      clearC1(env);
      f.return();
    });
    const value = orIndefinite(f, empty, { m, se: se.and(keep).xor(flip) });
    unlessUnmasked(f, env, select(empty, i32(UNDERFLOW), i32(0)), () => writeSt(f, env, 0, value));
  });
}

export const STACK_FUNCTIONS = [
  /** FLD ST(i). */
  x87("load", "i32", "", (f, env) => {
    const i = f.param(0, "i32").get();
    const empty = isEmpty(f, env, i);
    f.if(empty.eqz(), () => quickPush(f, env, readValue(f, slot(f, env, i)), i32(0)));
    const value = orIndefinite(f, empty, readValue(f, slot(f, env, i)));
    f.call(env.fn("x87.push"), value.m, value.se, f.let(select(empty, i32(UNDERFLOW), i32(0))));
  }),

  /**
   * A constant, from its mantissas rounded to nearest and toward zero and its exponent. Precision control has no
   * part in it; the inexact ones are rounded by RC without raising precision.
   */
  x87("constant", "i64 i64 i32", "", (f, env) => {
    const near = f.param(0, "i64").get();
    const below = f.param(1, "i64").get();
    const rounding = f.let(env.get("fcw").shrU(10).and(3));
    const m = select(rounding.eqz(), near, select(rounding.eq(2), below.add(1), below));
    f.call(env.fn("x87.push"), m, f.param(2, "i32").get(), i32(0));
  }),

  /** FST ST(i) and FSTP ST(i): register and number of pops. */
  x87("store", "i32 i32", "", (f, env) => {
    const empty = isEmpty(f, env, 0);
    f.if(empty.eqz(), () => {
      clearC1(env);
      writeSt(f, env, f.param(0, "i32").get(), readValue(f, slot(f, env, 0)));
      f.call(env.fn("x87.pop"), f.param(1, "i32").get());
      f.return();
    });
    const value = orIndefinite(f, empty, readValue(f, slot(f, env, 0)));
    unlessUnmasked(f, env, select(empty, i32(UNDERFLOW), i32(0)), () => {
      writeSt(f, env, f.param(0, "i32").get(), value);
      pop(f, env, f.param(1, "i32").get());
    });
  }),

  /** FSTPNCE, the alias D9 D8+i of FSTP ST(i): no stack underflow; an empty ST(0) is just popped. */
  x87("storeUnchecked", "i32", "", (f, env) => {
    const value = readValue(f, slot(f, env, 0));
    f.if(isEmpty(f, env, 0).eqz(), () => writeSt(f, env, f.param(0, "i32").get(), value));
    clearC1(env);
    pop(f, env, 1);
  }),

  /** Empty registers are exchanged as indefinites. */
  x87("exchange", "i32", "", (f, env) => {
    const i = f.param(0, "i32").get();
    const [none, noneI] = [isEmpty(f, env, 0), isEmpty(f, env, i)];
    f.if(none.or(noneI).eqz(), () => {
      const [at, from] = [slot(f, env, 0), slot(f, env, i)];
      const [own, its] = [readValue(f, at), readValue(f, from)];
      writeValue(f, at, its);
      writeValue(f, from, own);
      clearC1(env);
      f.return();
    });
    const top = orIndefinite(f, none, readValue(f, slot(f, env, 0)));
    const other = orIndefinite(f, noneI, readValue(f, slot(f, env, i)));
    unlessUnmasked(f, env, select(none.or(noneI), i32(UNDERFLOW), i32(0)), () => {
      writeSt(f, env, 0, other);
      writeSt(f, env, i, top);
    });
  }),

  /** FCMOVcc: condition, register. Empty registers count whether it moves or not. */
  x87("move", "i32 i32", "", (f, env) => {
    const i = f.param(1, "i32").get();
    const empty = f.let(isEmpty(f, env, 0).or(isEmpty(f, env, i)));
    const value = orIndefinite(f, empty, readValue(f, slot(f, env, i)));
    f.if(signalOrKeep(f, env, f.let(select(empty, i32(UNDERFLOW), i32(0)))).eqz(), () =>
      f.if(f.param(0, "i32").get().or(empty), () => writeSt(f, env, 0, value)),
    );
  }),

  x87("free", "i32", "", (f, env) => {
    const register = env.get("ftop").add(f.param(0, "i32").get()).and(7);
    env.set("fempty", env.get("fempty").or(f.let(i32(1).shl(register))));
    clearC1(env);
  }),

  /** FINCSTP and FDECSTP: tags and contents stay. */
  x87("turn", "i32", "", (f, env) => {
    env.set("ftop", env.get("ftop").add(f.param(0, "i32").get()).and(7));
    clearC1(env);
  }),

  signOperation("abs", 0x7fff, 0),
  signOperation("chs", 0xffff, 0x8000),

  /** FXAM (vol. 2A, FXAM table): class in C3 C2 C0, sign in C1, empty registers too. */
  x87("examine", "", "", (f, env) => {
    const value = readValue(f, slot(f, env, 0));
    const exponent = f.let(exponentOf(value.se));
    const special = select(value.m.eq(i64(INTEGER_BIT)), i32(C2 | C0), i32(C0));
    const small = select(value.m.eqz(), i32(C3), i32(C3 | C2));
    const normal = select(exponent.eqz(), small, select(exponent.eq(0x7fff), special, i32(C2)));
    const kind = select(isEmpty(f, env, 0), i32(C3 | C0), select(isUnsupported(value), i32(0), normal));
    const status = env.get("fsw").and(~CONDITIONS).or(kind);
    env.set("fsw", status.or(select(signOf(value.se), i32(C1), i32(0))));
  }),
];
