/** Values worth computing with: integers, floating-point numbers, decimals and bytes, their edges as likely as the rest. */
import type { Row } from "../../src/isa/row.ts";
import { EDGES_32, FLOAT_ROWS } from "./cases.ts";
import type { Random } from "./random.ts";
import type { State } from "./state.ts";

const MASK64 = 0xffff_ffff_ffff_ffffn;

const SPECIAL = [
  ...EDGES_32,
  0x1_0000_0000n,
  0x7fff_ffff_ffff_ffffn,
  0x8000_0000_0000_0000n,
  MASK64,
  0x5555_5555_5555_5555n,
  0xaaaa_aaaa_aaaa_aaaan,
];

export function integer(random: Random): bigint {
  switch (random.below(4)) {
    case 0:
      return random.pick(SPECIAL);
    case 1:
      return random.big() >> BigInt(random.below(64));
    default:
      return random.big();
  }
}

/** A binary floating-point number of any format, its edges as likely as the rest. */
function float(random: Random, exponentBits: number, mantissaBits: number): bigint {
  const most = (1 << exponentBits) - 1;
  const bias = most >> 1;
  const all = random.big() >> BigInt(64 - mantissaBits);
  const top = 1n << BigInt(mantissaBits - 1);
  const mantissa = random.pick([
    0n,
    0n,
    1n,
    all,
    all,
    all,
    top,
    top | all,
    (top << 1n) - 1n,
    all & -(top >> 8n),
    top - 1n,
  ]);
  const near = bias + random.below(9) - 4;
  const exponent = random.pick([
    0,
    0,
    1,
    2,
    most,
    most,
    most - 1,
    near,
    near,
    near,
    bias + mantissaBits,
    bias + random.below(70),
    random.below(most),
  ]);
  return (
    (BigInt(random.below(2)) << BigInt(exponentBits + mantissaBits)) |
    (BigInt(exponent) << BigInt(mantissaBits)) |
    mantissa
  );
}

/** 80 bits; sometimes a form that the processor does not make itself (SDM vol. 1, table 8-3). */
function extended(random: Random): bigint {
  const value = float(random, 15, 63);
  const exponent = (value >> 63n) & 0xffffn;
  const mantissa = value & 0x7fff_ffff_ffff_ffffn;
  const leading = ((exponent & 0x7fffn) !== 0n) !== random.one(24);
  return (exponent << 64n) | (leading ? 1n << 63n : 0n) | mantissa;
}

function decimal(random: Random): bigint {
  let value = BigInt(random.below(2)) << 79n;
  for (let i = 0; i < 18; i++) value |= BigInt(random.one(40) ? random.below(16) : random.below(10)) << BigInt(4 * i);
  return value;
}

export type Style = "bytes" | "f16" | "f32" | "f64" | "extended" | "decimal" | "integer";

export function styleOf(row: Row): Style {
  if (row.attributes.has("fpu")) {
    if (row.mnemonic.startsWith("FI")) return "integer";
    if (row.mnemonic === "FBLD") return "decimal";
    const text = row.operands[0]?.text;
    return text === "m32" ? "f32" : text === "m64" ? "f64" : text === "m80" ? "extended" : "bytes";
  }
  if (!FLOAT_ROWS.has(row)) return row.attributes.has("sse") || row.attributes.has("mmx") ? "bytes" : "integer";
  if (/^V?CVT(SI|DQ|PI)/.test(row.mnemonic)) return "integer";
  const mnemonic = row.vex ? row.mnemonic.slice(1) : row.mnemonic;
  if (mnemonic === "CVTPH2PS") return "f16";
  const source = /^CVTT?(..)2/.exec(mnemonic)?.[1] ?? mnemonic;
  return /[PS]D$|SD$/.test(source) || source.endsWith("PD") ? "f64" : "f32";
}

const EDGE_BYTES = [0, 1, 0x7f, 0x80, 0x81, 0xfe, 0xff];

/** Fills bytes in one of the ways that matter to vectors: anything, edges, sign bits, a count, text with an end. */
function bytes(random: Random, to: Uint8Array): void {
  const style = random.below(6);
  for (let i = 0; i < to.length; i++) {
    if (style < 2) to[i] = random.below(256);
    else if (style === 2) to[i] = random.pick(EDGE_BYTES);
    else if (style === 3) to[i] = i % 2 ? random.below(2) * 0x80 : 0xff * random.below(2);
    else if (style === 4) to[i] = i % 8 === 0 ? random.below(80) : 0;
    else to[i] = random.one(9) ? 0 : 0x61 + random.below(4);
  }
}

/** Fills a part of a record with values of one kind. */
export function typed(s: State, random: Random, style: Style, at: number, length: number): void {
  if (style === "bytes" || style === "integer") {
    const part = new Uint8Array(length);
    if (style === "bytes") bytes(random, part);
    else for (let i = 0; i < length; i += 4) new DataView(part.buffer).setUint8(i, 0);
    if (style === "integer") {
      for (let i = 0; i < length; i += 8) {
        const value = integer(random);
        for (let k = 0; k < 8 && i + k < length; k++) part[i + k] = Number((value >> BigInt(8 * k)) & 0xffn);
      }
    }
    s.record.set(part, at);
    return;
  }
  const [step, make] = (
    {
      f16: [2, () => float(random, 5, 10)],
      f32: [4, () => float(random, 8, 23)],
      f64: [8, () => float(random, 11, 52)],
      extended: [10, () => extended(random)],
      decimal: [10, () => decimal(random)],
    } as const
  )[style];
  for (let i = 0; i + step <= length; i += step) {
    const value = make();
    for (let k = 0; k < step; k++) s.record[at + i + k] = Number((value >> BigInt(8 * k)) & 0xffn);
  }
}
