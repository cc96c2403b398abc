/** Values at the widths of the architecture: constants, extensions, and single bits. */
import { type I32, i32, i64 } from "../../wasm/index.ts";
import type { AnyInt, Bits, Context, I64, Operand } from "../context.ts";

/** EFLAGS bits of the arithmetic flags, for images (SDM vol. 1, 3.4.3.1). */
export const CF = 0x001;
export const PF = 0x004;
export const AF = 0x010;
export const ZF = 0x040;
export const SF = 0x080;
export const OF = 0x800;

export const bits = (o: Operand) => o.bits as Bits;

export const literal = (width: Bits, value: number | bigint): AnyInt => (width === 64 ? i64(value) : i32(value));

/** All ones at a width. */
export const mask = (width: Bits): AnyInt => literal(width, width === 64 ? -1 : width === 32 ? -1 : (1 << width) - 1);

/** A value in the type that operands of `width` travel in: zero-extended, or cut to 32 bits. */
export const resize = (width: Bits, value: AnyInt): AnyInt => {
  if (width !== 64) return value.wrap();
  return value.type === "i64" ? value : value.extendU();
};

/** Only the low `width` bits, where the type holds more. */
export const cut = (width: Bits, value: AnyInt): AnyInt => (width < 32 ? value.and(mask(width)) : value);

/** An operand of `from` bits, sign-extended inside its type. */
export const signed = (from: Bits, value: AnyInt): AnyInt =>
  from === 8 ? value.extend8S() : from === 16 ? value.extend16S() : value;

/** An operand of `from` bits, sign-extended to an operand of `to` bits. */
export const extendTo = (to: Bits, from: Bits, value: AnyInt): AnyInt => {
  const inside = signed(from, value);
  return to === 64 && from !== 64 ? inside.extendS() : inside;
};

/** 64 bits from an operand: zero-extended and sign-extended. */
export const unsigned64 = (value: AnyInt): I64 => resize(64, value) as I64;
export const signed64 = (from: Bits, value: AnyInt): I64 => extendTo(64, from, value) as I64;

/** One bit, as 0 or 1; the position is a constant or a value of the same type. */
export const bit = (value: AnyInt, position: AnyInt | number): I32 => value.shrU(position).wrap().and(1);

/** A general register as an address, at the instruction's address size. */
export const addressRegister = (m: Context, number: number): I64 => unsigned64(m.reg(number, m.addressSize));
