/** x87 loads and stores of the memory formats: real, integer, packed BCD (SDM vol. 1, 8.3.3 and 4.7). */
import { type FunctionBuilder, type I32, type I64, i32, i64, select } from "../../wasm/index.ts";
import type { RuntimeEnv } from "../runtime/define.ts";
import { convert, toInteger } from "./convert.ts";
import { BINARY32, BINARY64, type Format } from "./format.ts";
import { pass } from "./nan.ts";
import { roundExtended, roundPack } from "./round.ts";
import { type FloatUnit, type Unpacked, unrounded } from "./unit.ts";
import { unpack, unpackExtended, unpackInteger } from "./unpack.ts";
import { attempt, ofInteger, quickStore, widened } from "./x87-quick.ts";
import { IE, isEmpty, OE, orIndefinite, passes, readValue, slot, UE, UNDERFLOW, unit, x87 } from "./x87-registers.ts";

/** Decimal digits of the packed BCD format, and the first magnitude it cannot hold. */
const DIGITS = 18;
const DECIMAL_LIMIT = 10n ** 18n;
/** Packed BCD indefinite (4.7): its high 16 bits and its low 64. */
const DECIMAL_INDEFINITE = { high: 0xffffn, low: 0xc000_0000_0000_0000n };

function loadFloat(name: string, format: Format) {
  return x87(name, "i64", "", (f, env) => {
    attempt(f, (unfit) => {
      const { m, se } = widened(f, format, f.param(0, "i64").get(), unfit);
      f.call(env.fn("x87.push"), m, se, i32(0));
      f.return();
    });
    const u = unit(f, env);
    const value = roundExtended(u, convert(u, unpack(u, format, f.param(0, "i64").get())), { precision: 64 });
    f.call(env.fn("x87.push"), value.mantissa, value.top, u.flags.get());
  });
}

/**
 * Ends a store to memory: signals, leaves the value in scratch0 and returns 1 where it is to be stored and the
 * stack popped. Unmasked precision stores, the other unmasked exceptions do not (8.5).
 */
function handOver(f: FunctionBuilder, env: RuntimeEnv, flags: I32, value: I64): void {
  env.set("scratch0", value);
  f.return(passes(f, env, flags, IE | OE | UE));
}

/** ST(0) unpacked, and whether it is empty. */
function top(u: FloatUnit, env: RuntimeEnv): { value: Unpacked; empty: I32 } {
  const { m, se } = readValue(u.f, slot(u.f, env, 0));
  return { value: unpackExtended(u, se, m), empty: isEmpty(u.f, env, 0) };
}

function storeFloat(name: string, format: Format, indefinite: bigint) {
  return x87(name, "", "i32", (f, env) => {
    quickStore(f, env, format);
    const u = unit(f, env);
    const { value, empty } = top(u, env);
    const out = unrounded(f);
    pass(u, out, value);
    const packed = roundPack(u, format, out);
    // What is not stored has not been rounded either: no PE, no C1.
    const unmasked = u.flags
      .get()
      .and(env.get("fcw").not())
      .and(OE | UE);
    const flags = f.let(select(unmasked, u.flags.get().and(OE | UE), u.flags.get()));
    handOver(f, env, f.let(select(empty, i32(UNDERFLOW), flags)), select(empty, i64(indefinite), packed));
  });
}

function storeInteger(name: string, bits: 16 | 32 | 64, truncate: boolean) {
  return x87(name, "", "i32", (f, env) => {
    const u = unit(f, env);
    const { value, empty } = top(u, env);
    const integer = toInteger(u, value, bits, truncate);
    handOver(
      f,
      env,
      f.let(select(empty, i32(UNDERFLOW), u.flags.get())),
      select(empty, i64(-(1n << BigInt(bits - 1))), integer),
    );
  });
}

export const TRANSFER_FUNCTIONS = [
  loadFloat("loadSingle", BINARY32),
  loadFloat("loadDouble", BINARY64),

  x87("loadInteger", "i64", "", (f, env) => {
    const { m, se } = ofInteger(f, f.param(0, "i64").get());
    f.call(env.fn("x87.push"), m, se, i32(0));
  }),

  /** FBLD: the low 64 bits and the 16 above. Digits over 9 are undefined; they count as what they are. */
  x87("loadDecimal", "i64 i32", "", (f, env) => {
    const u = unit(f, env);
    const high = f.param(1, "i32").get();
    const rest = f.variable(f.param(0, "i64").get());
    const sum = f.variable(high.shrU(4).and(15).mul(10).add(high.and(15)).extendU());
    const count = f.variable(i32(16));
    f.while(
      () => count.get().nez(),
      () => {
        sum.set(sum.get().mul(10).add(rest.get().shrU(60)));
        rest.set(rest.get().shl(4));
        count.set(count.get().sub(1));
      },
    );
    const value = roundExtended(u, convert(u, unpackInteger(f, sum.get())), { precision: 64 });
    const sign = high.and(0x8000);
    f.call(env.fn("x87.push"), value.mantissa, value.top.or(sign), i32(0));
  }),

  storeFloat("storeSingle", BINARY32, 0xffc0_0000n),
  storeFloat("storeDouble", BINARY64, 0xfff8_0000_0000_0000n),
  ...([16, 32, 64] as const).flatMap((bits) => [
    storeInteger(`storeInteger${bits}`, bits, false),
    storeInteger(`truncateInteger${bits}`, bits, true),
  ]),

  /** FSTP m80: the register as it is; its high 16 bits in scratch1. */
  x87("storeExtended", "", "i32", (f, env) => {
    const empty = isEmpty(f, env, 0);
    const { m, se } = orIndefinite(f, empty, readValue(f, slot(f, env, 0)));
    env.set("scratch1", se.extendU());
    handOver(f, env, f.let(select(empty, i32(UNDERFLOW), i32(0))), m);
  }),

  /** FBSTP: as the others, with the high 16 bits in scratch1. */
  x87("storeDecimal", "", "i32", (f, env) => {
    const u = unit(f, env);
    const { value, empty } = top(u, env);
    const integer = toInteger(u, value, 64);
    const left = f.variable(select(integer.ltS(0), i64(0).sub(integer), integer));
    const tooLarge = left.get().geU(i64(DECIMAL_LIMIT));
    const flags = f.let(select(empty, i32(UNDERFLOW), select(tooLarge, i32(IE), u.flags.get())));
    const low = f.local("i64");
    const high = f.variable(value.sign.extendU().shl(15));
    f.if(
      flags.and(IE),
      () => {
        low.set(i64(DECIMAL_INDEFINITE.low));
        high.set(i64(DECIMAL_INDEFINITE.high));
      },
      () => {
        const place = f.local("i32");
        f.while(
          () => place.get().ltU(DIGITS),
          () => {
            const digit = f.let(left.get().remU(10));
            const shift = f.let(place.get().shl(2).extendU());
            left.set(left.get().divU(10));
            f.if(
              place.get().ltU(16),
              () => low.set(low.get().or(digit.shl(shift))),
              // Shift counts are taken modulo 64.
              () => high.set(high.get().or(digit.shl(shift))),
            );
            place.set(place.get().add(1));
          },
        );
      },
    );
    env.set("scratch1", high.get());
    handOver(f, env, flags, low.get());
  }),
];
