/**
 * The x87 register stack (SDM vol. 1, 8.1.2): addressing ST(i), tags, the status word's bits, and the masked and
 * unmasked response to exceptions (8.4). Building blocks of the other x87-*.ts files.
 *
 * A value travels as its mantissa (i64) and its sign and exponent (16 bits in an i32), as the register holds it.
 */
import { type FunctionBuilder, type I32, type I64, i32, i64, select } from "../../wasm/index.ts";
import { type RuntimeEnv, type RuntimeFunction, runtime } from "../runtime/define.ts";
import { CONTROL } from "./format.ts";
import type { FloatUnit } from "./unit.ts";

// Status word (8.1.3). The first six are the exception flags and have their masks at the same place in the control word.
export const IE = 1;
export const DE = 2;
export const ZE = 4;
export const OE = 8;
export const UE = 0x10;
export const PE = 0x20;
export const SF = 0x40;
export const ES = 0x80;
export const C0 = 0x100;
export const C1 = 0x200;
export const C2 = 0x400;
export const C3 = 0x4000;
export const BUSY = 0x8000;
export const CONDITIONS = C0 | C1 | C2 | C3;
/** Stack underflow; an overflow has C1 set as well. */
export const UNDERFLOW = IE | SF;

export const INTEGER_BIT = 1n << 63n;
export const QUIET_BIT = 1n << 62n;
/** The QNaN floating-point indefinite (4.2.2). */
export const INDEFINITE_MANTISSA = 3n << 62n;
export const INDEFINITE_EXPONENT = 0xffff;
/** Control word after FNINIT: all masked, 64 bits, to nearest. */
export const INITIAL_CONTROL = 0x37f;
const REGISTER_BYTES = 16;

/** Address of ST(i). */
export function slot(f: FunctionBuilder, env: RuntimeEnv, i: I32 | number): I32 {
  return f.let(env.get("ftop").add(i).and(7).mul(REGISTER_BYTES).add(env.address("fpr0")));
}

/** 1 where ST(i) is empty. */
export function isEmpty(f: FunctionBuilder, env: RuntimeEnv, i: I32 | number): I32 {
  return f.let(env.get("fempty").shrU(env.get("ftop").add(i).and(7)).and(1));
}

export interface Value {
  readonly m: I64;
  readonly se: I32;
}

export function readValue(f: FunctionBuilder, at: I32): Value {
  return { m: f.load("i64.load", at), se: f.load("i32.load16_u", at, 8) };
}

export function writeValue(f: FunctionBuilder, at: I32, value: Value): void {
  f.store("i64.store", at, value.m);
  f.store("i32.store", at, value.se, 8);
}

/** Writes ST(i) and marks it as not empty. */
export function writeSt(f: FunctionBuilder, env: RuntimeEnv, i: I32 | number, value: Value): void {
  writeValue(f, slot(f, env, i), value);
  env.set("fempty", env.get("fempty").and(i32(1).shl(env.get("ftop").add(i).and(7)).not()));
}

export const INDEFINITE: Value = { m: i64(INDEFINITE_MANTISSA), se: i32(INDEFINITE_EXPONENT) };

/** The value where `condition` is zero, else the indefinite. */
export function orIndefinite(f: FunctionBuilder, condition: I32, value: Value): Value {
  return {
    m: f.let(select(condition, INDEFINITE.m, value.m)),
    se: f.let(select(condition, INDEFINITE.se, value.se)),
  };
}

export const exponentOf = (se: I32): I32 => se.and(0x7fff);
export const signOf = (se: I32): I32 => se.shrU(15).and(1);

// Classes of encodings (4.2.2, 8.2.2).
/** Unnormal, pseudo-infinity, pseudo-NaN: an exponent without the integer bit. */
export const isUnsupported = (v: Value): I32 => exponentOf(v.se).nez().and(v.m.geS(0));
/** NaN with its integer bit. */
export const isNan = (v: Value): I32 =>
  exponentOf(v.se)
    .eq(0x7fff)
    .and(v.m.gtU(i64(INTEGER_BIT)));
export const isSnan = (v: Value): I32 => isNan(v).and(v.m.and(i64(QUIET_BIT)).eqz());
export const isInfinity = (v: Value): I32 =>
  exponentOf(v.se)
    .eq(0x7fff)
    .and(v.m.eq(i64(INTEGER_BIT)));
export const isZero = (v: Value): I32 => exponentOf(v.se).eqz().and(v.m.eqz());
/** Denormal or pseudo-denormal. */
export const isDenormal = (v: Value): I32 => exponentOf(v.se).eqz().and(v.m.nez());

/**
 * Raises exceptions: flags (and SF, C1) go to the status word, C1 is cleared unless given, and what is not masked
 * sets ES and B. The unmasked ones remain, for the caller to see that it must not store.
 */
export function signal(f: FunctionBuilder, env: RuntimeEnv, flags: I32): I32 {
  return f.callFor("i32", env.fn("x87.signal"), flags);
}

/** The same; 1 where none of the exceptions `stopping` is unmasked. */
export const passes = (f: FunctionBuilder, env: RuntimeEnv, flags: I32, stopping: number): I32 =>
  signal(f, env, flags).and(stopping).eqz();

/** signal for FCMOVcc and FCOMI, which leave C1 alone unless the stack underflows. */
export function signalOrKeep(f: FunctionBuilder, env: RuntimeEnv, flags: I32): I32 {
  const kept = select(flags.and(SF), i32(0), env.get("fsw").and(C1));
  return signal(f, env, flags.or(kept));
}

/** The usual end of an operation without rounding: signals, then runs `store` unless something is unmasked. */
export function unlessUnmasked(f: FunctionBuilder, env: RuntimeEnv, flags: I32, store: () => void): void {
  f.if(passes(f, env, flags, 0x3f), store);
}

/** Pops the stack `n` times (0, 1 or 2). */
export function pop(f: FunctionBuilder, env: RuntimeEnv, n: I32 | number): void {
  f.call(env.fn("x87.pop"), typeof n === "number" ? i32(n) : n);
}

/** The soft-float core set up by the x87 control word. */
export function unit(f: FunctionBuilder, env: RuntimeEnv): FloatUnit {
  const fcw = env.get("fcw");
  const control = fcw
    .and(0x3f)
    .shl(CONTROL.maskShift)
    .or(fcw.and(0xc00).shl(CONTROL.roundingShift - 10))
    .or(fcw.and(0x300).shl(CONTROL.precisionShift - 8));
  return { f, control: f.let(control), flags: f.local("i32"), nan: "x87" };
}

/** A runtime function in the x87's name space. */
export const x87 = (name: string, params: string, results: string, build: RuntimeFunction["build"]): RuntimeFunction =>
  runtime(`x87.${name}`, params, results, build);

/** Sets ES and B by what flags are unmasked (8.1.3.3); the status word's other bits stay. */
function summarize(env: RuntimeEnv, status: I32, control: I32): void {
  const unmasked = status.and(control.not()).and(0x3f);
  env.set("fsw", status.and(~(ES | BUSY)).or(select(unmasked, i32(ES | BUSY), i32(0))));
}

export const clearC1 = (env: RuntimeEnv): void => env.set("fsw", env.get("fsw").and(~C1));

/** Pushes where there is room and nothing to report. */
export function quickPush(f: FunctionBuilder, env: RuntimeEnv, value: Value, flags: I32): void {
  const top = f.let(env.get("ftop").sub(1).and(7));
  const bit = f.let(i32(1).shl(top));
  const empty = f.let(env.get("fempty"));
  f.if(select(flags, i32(0), empty.and(bit)), () => {
    clearC1(env);
    env.set("ftop", top);
    env.set("fempty", empty.xor(bit));
    writeValue(f, slot(f, env, 0), value);
    f.return();
  });
}

export const REGISTER_FUNCTIONS = [
  x87("signal", "i32", "i32", (f, env) => {
    const flags = f.param(0, "i32").get();
    const unmasked = f.let(flags.and(env.get("fcw").not()).and(0x3f));
    const status = env.get("fsw").and(~C1).or(flags);
    env.set("fsw", status.or(select(unmasked, i32(ES | BUSY), i32(0))));
    f.return(unmasked);
  }),

  x87("pop", "i32", "", (f, env) => {
    const left = f.variable(f.param(0, "i32").get());
    f.while(
      () => left.get().nez(),
      () => {
        const top = f.let(env.get("ftop"));
        env.set("fempty", env.get("fempty").or(i32(1).shl(top)));
        env.set("ftop", top.add(1).and(7));
        left.set(left.get().sub(1));
      },
    );
  }),

  /** Pushes a value and raises what its making raised. A full stack is an overflow, an underflow going before it. */
  x87("push", "i64 i32 i32", "", (f, env) => {
    const given: Value = { m: f.param(0, "i64").get(), se: f.param(1, "i32").get() };
    quickPush(f, env, given, f.param(2, "i32").get());
    const full = f.let(isEmpty(f, env, 7).eqz());
    const value = orIndefinite(f, full, given);
    const raised = f.param(2, "i32").get();
    const flags = select(full.and(raised.and(SF).eqz()), i32(UNDERFLOW | C1), raised);
    // A denormal is loaded even where DE is unmasked.
    f.if(passes(f, env, flags, IE), () => {
      env.set("ftop", env.get("ftop").sub(1).and(7));
      writeSt(f, env, 0, value);
    });
  }),

  /** The status word is loaded: TOP is apart, ES and B follow from flags and masks. */
  x87("setStatus", "i32", "", (f, env) => {
    const image = f.param(0, "i32").get();
    env.set("ftop", image.shrU(11).and(7));
    summarize(env, f.let(image.and(0x477f)), env.get("fcw"));
  }),

  /** The control word is loaded: bit 6 reads as 1, bits 7 and 13-15 as 0. */
  x87("setControl", "i32", "", (f, env) => {
    const control = f.let(f.param(0, "i32").get().and(0x1f3f).or(0x40));
    env.set("fcw", control);
    summarize(env, f.let(env.get("fsw")), control);
  }),

  x87("init", "", "", (_, env) => {
    env.set("fcw", i32(INITIAL_CONTROL));
    for (const name of ["fsw", "ftop", "fop", "fcs", "fds"]) env.set(name, i32(0));
    for (const name of ["fip", "fdp"]) env.set(name, i64(0));
    env.set("fempty", i32(0xff));
  }),

  /** The full tag word (8.1.7): 0 valid, 1 zero, 2 special, 3 empty, by physical register. */
  x87("tags", "", "i32", (f, env) => {
    const tags = f.local("i32");
    for (let r = 0; r < 8; r++) {
      const value = readValue(f, i32(env.address(`fpr${r}`)));
      const special = exponentOf(value.se).eqz().or(exponentOf(value.se).eq(0x7fff)).or(isUnsupported(value));
      const tag = select(isZero(value), i32(1), select(special, i32(2), i32(0)));
      const empty = env.get("fempty").and(1 << r);
      tags.set(tags.get().or(select(empty, i32(3), tag).shl(2 * r)));
    }
    f.return(tags.get());
  }),

  x87("setTags", "i32", "", (f, env) => {
    const tags = f.param(0, "i32").get();
    const both = f.let(tags.and(tags.shrU(1)).and(0x5555));
    const empty = f.local("i32");
    for (let r = 0; r < 8; r++)
      empty.set(
        empty.get().or(
          both
            .shrU(2 * r)
            .and(1)
            .shl(r),
        ),
      );
    env.set("fempty", empty.get());
  }),

  x87("mantissa", "i32", "i64", (f, env) => f.return(readValue(f, slot(f, env, f.param(0, "i32").get())).m)),
  x87("exponent", "i32", "i32", (f, env) => f.return(readValue(f, slot(f, env, f.param(0, "i32").get())).se)),
  /** Writes ST(i) without touching its tag. */
  x87("put", "i32 i64 i32", "", (f, env) =>
    writeValue(f, slot(f, env, f.param(0, "i32").get()), {
      m: f.param(1, "i64").get(),
      se: f.param(2, "i32").get().and(0xffff),
    }),
  ),

  /** The selector of a segment register, by its number. */
  x87("selector", "i32", "i32", (f, env) => {
    const stride = env.address("cs.selector") - env.address("es.selector");
    f.return(f.load("i32.load", f.param(0, "i32").get().mul(stride).add(env.address("es.selector"))));
  }),
];
