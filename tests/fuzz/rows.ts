/** Random encodings of declared rows: valid ones mostly, so that what lies behind the decoder is reached. */
import type { Row } from "../../src/isa/row.ts";
import { ROWS } from "../../src/isa/rows.ts";
import { CODE, CODE_SIZE, DATA, DATA_SIZE, GDT_ENTRIES } from "./layout.ts";
import type { Random } from "./random.ts";

export type CodeBits = 16 | 32 | 64;

const PREFIX: Partial<Record<string, number>> = { "66": 0x66, F3: 0xf3, F2: 0xf2 };
const SEGMENT_PREFIXES = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65] as const;

export function little(value: number, length: number, out: number[]): void {
  for (let i = 0; i < length; i++) out.push(i < 4 ? (value >>> (8 * i)) & 0xff : value < 0 ? 0xff : 0);
}

/** A selector: into the GDT or LDT, null, or beyond the table. */
export function selector(random: Random): number {
  return random.once(16)
    ? random.next() & 0xffff
    : (random.below(GDT_ENTRIES) << 3) | (random.next() & (random.once(4) ? 7 : 3));
}

/** An address that code may be at, data may be at, or nothing. */
export function address(random: Random): number {
  switch (random.below(8)) {
    case 0:
      return random.next();
    case 1:
      return CODE + random.below(CODE_SIZE);
    case 2:
      return random.below(0x1_0000);
    case 3:
      // Just before the end of a page: accesses cross into the next.
      return DATA + (random.below(DATA_SIZE) | 0xfff) - random.below(16);
    default:
      return DATA + (random.below(DATA_SIZE) & ~(random.once(2) ? 15 : 0));
  }
}

const usable = (bits: CodeBits): readonly Row[] =>
  ROWS.filter((row) => !row.attributes.has(bits === 64 ? "i64" : "o64"));
const BY_BITS: Record<CodeBits, readonly Row[]> = { 16: usable(16), 32: usable(32), 64: usable(64) };

export function randomRow(random: Random, bits: CodeBits): Row {
  return random.pick(BY_BITS[bits]);
}

/** Appends one encoding of a row. */
export function encode(random: Random, row: Row, bits: CodeBits, out: number[]): void {
  const { attributes } = row;
  const operand16 = row.prefix === "66" || (row.prefix === undefined && random.once(6));
  const address67 = random.once(12);
  const addressSize = bits === 64 ? (address67 ? 32 : 64) : (bits === 16) !== address67 ? 16 : 32;
  const rep = row.prefix === undefined && random.once(attributes.has("rep") ? 2 : 24);
  const wide = row.rexW ?? random.once(3);
  const size =
    bits === 64 ? (wide || attributes.has("f64") ? 64 : operand16 ? 16 : 32) : (bits === 16) !== operand16 ? 16 : 32;
  if (address67) out.push(0x67);
  if (random.once(10)) out.push(random.pick(SEGMENT_PREFIXES));
  if (attributes.has("lock") && random.once(4)) out.push(0xf0);
  if (rep) out.push(random.once(2) ? 0xf2 : 0xf3);
  if (row.vex) vex(random, row, bits, out);
  else {
    if (operand16 && row.prefix !== "66") out.push(0x66);
    const mandatory = PREFIX[row.prefix ?? ""];
    if (mandatory !== undefined) out.push(mandatory);
    if (bits === 64) {
      const rex = (wide ? 8 : 0) | (random.once(3) ? random.below(8) : 0);
      if (rex !== 0 || random.once(4)) out.push(0x40 | rex);
    }
    if (row.map > 0) out.push(0x0f);
    if (row.map > 1) out.push(row.map === 2 ? 0x38 : 0x3a);
  }
  out.push(row.opcode + (row.plusR ? random.below(8) : 0));
  if (row.modrm) modrm(random, row, bits, addressSize, out);
  immediates(random, row, size, addressSize, out);
}

function vex(random: Random, row: Row, bits: CodeBits, out: number[]): void {
  // Outside 64-bit mode the two high bits set tell VEX from LES.
  const inverted = bits === 64 ? random.below(8) << 5 : 0xc0 | (random.below(2) << 5);
  const pp = ["NP", "66", "F3", "F2"].indexOf(row.prefix ?? "NP");
  // Without an operand there it must be all ones.
  const third = row.operands.some((o) => o.kind === "vvvv" || o.kind === "xmmv") ? random.below(16) : 15;
  const length = row.vexL ?? random.below(2);
  out.push(0xc4, inverted | row.map, ((row.rexW ?? random.once(2)) ? 0x80 : 0) | (third << 3) | (length << 2) | pp);
}

const ONLY_MEMORY = new Set(["mem", "farmem", "vsib"]);
const ONLY_REGISTER = new Set(["rmreg", "mmrm", "xmmrm"]);

function modrm(random: Random, row: Row, bits: CodeBits, addressSize: number, out: number[]): void {
  if (row.fixed !== undefined) {
    out.push(row.plusI ? (row.fixed & 0xf8) | random.below(8) : row.fixed);
    return;
  }
  const reg = row.digit ?? random.below(8);
  const kinds = row.operands.map((o) => o.kind);
  const memory =
    kinds.some((kind) => ONLY_MEMORY.has(kind)) || (!kinds.some((kind) => ONLY_REGISTER.has(kind)) && random.once(2));
  const mod = memory ? random.below(3) : 3;
  // VSIB is a SIB byte; its index is small only by chance.
  const rm = kinds.includes("vsib") ? 4 : random.below(8);
  out.push((mod << 6) | (reg << 3) | rm);
  if (mod === 3) return;
  let displacement = mod === 1 ? 1 : mod === 2 ? (addressSize === 16 ? 2 : 4) : 0;
  let absolute = false;
  if (addressSize === 16) {
    if (mod === 0 && rm === 6) {
      displacement = 2;
      absolute = true;
    }
  } else {
    let base = rm;
    if (rm === 4) {
      base = random.below(8);
      // No index mostly: a sum of two pointers points nowhere.
      out.push((random.below(4) << 6) | ((random.once(3) ? random.below(8) : 4) << 3) | base);
    }
    if (mod === 0 && base === 5) {
      displacement = 4;
      absolute = bits !== 64 || rm === 4;
    }
  }
  if (displacement === 0) return;
  if (absolute) little(address(random), displacement, out);
  else if (displacement === 1) out.push(random.next() & 0xff);
  else little(random.once(8) ? random.next() : random.below(0x4000) - 0x1000, displacement, out);
}

function immediates(random: Random, row: Row, size: number, addressSize: number, out: number[]): void {
  for (const { kind, width } of row.operands) {
    if (kind === "xmmi") out.push(random.next() & 0xff);
    else if (kind === "imm") {
      const length = width === "z" ? (size === 16 ? 2 : 4) : width === "v" ? size / 8 : (width as number) / 8;
      little(random.once(3) ? random.next() : random.below(40) - 8, length, out);
    } else if (kind === "rel") {
      const length = width === "z" ? (size === 16 ? 2 : 4) : (width as number) / 8;
      little(random.once(16) ? random.next() : random.below(48) - 16, length, out);
    } else if (kind === "moffs") little(address(random), addressSize / 8, out);
    else if (kind === "farimm") {
      little(CODE + random.below(CODE_SIZE), size === 16 ? 2 : 4, out);
      little(selector(random), 2, out);
    }
  }
}
