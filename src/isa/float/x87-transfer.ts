/** x87 loads and stores (SDM vol. 1, 5.2.1). A fault of a store leaves the FPU as it was. */
import { type I32, type I64, i32 } from "../../wasm/index.ts";
import type { Bits, Context, Operand } from "../context.ts";
import { x87 } from "./x87-rows.ts";

const bytes = (o: Operand) => o.bits / 8;

const loadFloat = (name: string) => (m: Context, src: Operand) =>
  m.runtime(name, src.bits === 64 ? (src.read() as I64) : src.read().extendU());

/** A memory operand as a sign-extended 64-bit integer. */
export function readInteger(src: Operand): I64 {
  const value = src.read();
  return src.bits === 64 ? (value as I64) : src.bits === 32 ? value.extendS() : value.extend16S().extendS();
}

const fild = (m: Context, src: Operand) => m.runtime("x87.loadInteger", readInteger(src));

const MASKS = 0x3f;

/**
 * The runtime function `name` works out what to store. Its answer, whether it stores, is no where an unmasked exception
 * comes in between: then the memory is not looked at.
 */
function prepare(m: Context, name: string, dst: Operand): I32 {
  const masked = m.f.let(m.get("fcw").and(MASKS).eq(MASKS));
  const before = m.f.let(m.get("fsw"));
  m.f.if(masked, () => m.probeWrite(dst.linear(), bytes(dst)));
  const stores = m.runtimeFor("i32", name);
  m.f.if(masked.eqz().and(stores), () => {
    const status = m.f.let(m.get("fsw"));
    const [low, high] = [m.f.let(m.get("scratch0", "i64")), m.f.let(m.get("scratch1", "i64"))];
    m.set("fsw", before);
    m.probeWrite(dst.linear(), bytes(dst));
    m.set("fsw", status);
    m.set("scratch0", low);
    m.set("scratch1", high);
  });
  return stores;
}

/** Stores what the runtime function `name` leaves in scratch0 where it says so, and pops. */
const store =
  (name: string, pops: number) =>
  (m: Context, dst: Operand): void => {
    m.f.if(prepare(m, name, dst), () => {
      const value = m.get("scratch0", "i64");
      m.store(dst.bits as Bits, dst.linear(), dst.bits === 64 ? value : value.wrap());
      if (pops) m.runtime("x87.pop", i32(pops));
    });
  };
/** Integer stores by the operand's size. */
const integer = (prefix: string, pops: number) => (m: Context, dst: Operand) =>
  store(`x87.${prefix}${dst.bits}`, pops)(m, dst);

const load80 = (m: Context, src: Operand) => {
  const mantissa = m.load(64, src.linear()) as I64;
  const top = m.load(16, src.linear(8)).wrap();
  m.runtime("x87.push", mantissa, top, i32(0));
};

const fbld = (m: Context, src: Operand) => {
  const low = m.load(64, src.linear()) as I64;
  const high = m.load(16, src.linear(8)).wrap();
  m.runtime("x87.loadDecimal", low, high);
};

/** Ten bytes from scratch0 and scratch1. */
const store80 = (name: string) => (m: Context, dst: Operand) => {
  m.f.if(prepare(m, name, dst), () => {
    // Both at once: a store may need the scratch fields.
    const [low, high] = [m.get("scratch0", "i64"), m.get("scratch1", "i64")];
    m.store(64, dst.linear(), low);
    m.store(16, dst.linear(8), high.wrap());
    m.runtime("x87.pop", i32(1));
  });
};

export const X87_TRANSFER = [
  ...x87("FLD", loadFloat("x87.loadSingle"), "D9 /0 | m32"),
  ...x87("FLD", loadFloat("x87.loadDouble"), "DD /0 | m64"),
  ...x87("FLD", load80, "DB /5 | m80"),
  ...x87("FILD", fild, "DF /0 | m16\n DB /0 | m32\n DF /5 | m64"),
  ...x87("FBLD", fbld, "DF /4 | m80"),
  ...x87("FST", store("x87.storeSingle", 0), "D9 /2 | w:m32"),
  ...x87("FST", store("x87.storeDouble", 0), "DD /2 | w:m64"),
  ...x87("FSTP", store("x87.storeSingle", 1), "D9 /3 | w:m32"),
  ...x87("FSTP", store("x87.storeDouble", 1), "DD /3 | w:m64"),
  ...x87("FSTP", store80("x87.storeExtended"), "DB /7 | w:m80"),
  ...x87("FIST", integer("storeInteger", 0), "DF /2 | w:m16\n DB /2 | w:m32"),
  ...x87("FISTP", integer("storeInteger", 1), "DF /3 | w:m16\n DB /3 | w:m32\n DF /7 | w:m64"),
  ...x87("FISTTP", integer("truncateInteger", 1), "DF /1 | w:m16 | sse3\n DB /1 | w:m32 | sse3\n DD /1 | w:m64 | sse3"),
  ...x87("FBSTP", store80("x87.storeDecimal"), "DF /6 | w:m80"),
];
