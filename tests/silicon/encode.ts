/** Writes instructions: a row and a choice of operands to bytes, the decoder's work backwards (SDM vol. 2, chapter 2). */
import type { OperandSpec, Row } from "../../src/isa/row.ts";
import type { Mode } from "./layout.ts";

/** A memory operand. Without base and index the address is the displacement, relative to RIP where `rip` says so. */
export interface Address {
  readonly base: number | undefined;
  readonly index: number | undefined;
  readonly scale: number;
  readonly displacement: number;
  readonly rip: boolean;
}

export interface Choice {
  readonly mode: Mode;
  /** Operand size by prefixes; undefined where the row does not depend on it. */
  readonly size: 16 | 32 | 64 | undefined;
  readonly reg: number;
  readonly rm: number | Address;
  readonly vvvv: number;
  readonly is4: number;
  readonly opcodeReg: number;
  /** Immediates, displacements and the like in their order. */
  readonly immediates: readonly bigint[];
  readonly prefixes: readonly number[];
  /** Emits a REX prefix even where no bit of it is set: byte registers 4-7 are then SPL BPL SIL DIL. */
  readonly rex: boolean;
}

const IMMEDIATE = new Set(["imm", "rel", "farimm", "moffs"]);
export const isImmediate = (o: OperandSpec): boolean => IMMEDIATE.has(o.kind);

/** Bytes of an immediate. */
export function immediateBytes(o: OperandSpec, size: number, addressBits: number): number {
  if (o.kind === "moffs") return addressBits / 8;
  if (o.kind === "farimm") return size === 16 ? 4 : 6;
  if (o.width === "z") return size === 16 ? 2 : 4;
  if (o.width === "v") return size / 8;
  return (o.width as number) / 8;
}

export const ADDRESS_SIZE = 0x67;
export const OPERAND_SIZE = 0x66;

export const addressBitsOf = (mode: Mode, prefixes: readonly number[]): Mode =>
  prefixes.includes(ADDRESS_SIZE) ? (mode === 32 ? 16 : 32) : mode;

function little(value: bigint, bytes: number): number[] {
  return Array.from({ length: bytes }, (_, i) => Number((BigInt.asUintN(64, value) >> BigInt(8 * i)) & 0xffn));
}

function modrm(
  reg: number,
  rm: number | Address,
  after: number,
  mode: Mode,
  next: (length: number) => number,
): number[] {
  const low = (reg & 7) << 3;
  if (typeof rm === "number") return [0xc0 | low | (rm & 7)];
  const { base, index, scale, displacement } = rm;
  if (base === undefined && index === undefined) {
    if (rm.rip) return [low | 5, ...little(BigInt(displacement - next(5 + after)), 4)];
    return mode === 64
      ? [low | 4, 0x25, ...little(BigInt(displacement), 4)]
      : [low | 5, ...little(BigInt(displacement), 4)];
  }
  const small = displacement === (displacement << 24) >> 24;
  const mod = base === undefined ? 0 : displacement === 0 && (base & 7) !== 5 ? 0 : small ? 1 : 2;
  const bytes = base === undefined ? 4 : [0, 1, 4][mod]!;
  const sib = index !== undefined || (base! & 7) === 4;
  const head = [(mod << 6) | low | (sib ? 4 : base! & 7)];
  if (sib) head.push((scale << 6) | (((index ?? 4) & 7) << 3) | (base === undefined ? 5 : base & 7));
  return [...head, ...little(BigInt(displacement), bytes)];
}

/** The 16-bit forms (SDM vol. 2, table 2-1): BX or BP, SI or DI, both, or neither. */
const FORMS_16 = ["3 6", "3 7", "5 6", "5 7", "6", "7", "5", "3"];

function modrm16(reg: number, { base, index, displacement }: Address): number[] {
  const low = (reg & 7) << 3;
  if (base === undefined) return [low | 6, ...little(BigInt(displacement), 2)];
  const form = FORMS_16.indexOf(index === undefined ? `${base}` : `${base} ${index}`);
  const small = displacement === (displacement << 24) >> 24;
  const mod = displacement === 0 && form !== 6 ? 0 : small ? 1 : 2;
  return [(mod << 6) | low | form, ...little(BigInt(displacement), mod)];
}

/** The instruction's bytes; `at` is where it will lie. */
export function encode(row: Row, choice: Choice, at: number): Uint8Array {
  const { mode, size } = choice;
  const legacy = [...choice.prefixes];
  const addressBits = addressBitsOf(mode, legacy);
  if (size === (mode === 16 ? 32 : 16) && row.prefix !== "66" && row.prefix !== "NP" && !row.vex)
    legacy.push(OPERAND_SIZE);
  if (!row.vex && row.prefix && !row.prefix.startsWith("N")) legacy.push(Number.parseInt(row.prefix, 16));
  const defaultIs64 = row.attributes.has("d64") || row.attributes.has("f64");
  const w = row.rexW ?? (size === 64 && mode === 64 && !defaultIs64);
  const reg = row.digit ?? choice.reg;
  const { rm } = choice;
  const high = (n: number | undefined) => (n !== undefined && n > 7 ? 1 : 0);
  const x = typeof rm === "number" ? 0 : high(rm.index);
  const b =
    row.modrm && row.fixed === undefined
      ? typeof rm === "number"
        ? high(rm)
        : high(rm.base)
      : row.plusR
        ? high(choice.opcodeReg)
        : 0;
  const r = row.modrm && row.digit === undefined && row.fixed === undefined ? high(reg) : 0;
  const actualSize = size ?? (mode === 64 && w ? 64 : mode === 16 ? 16 : 32);
  const tail: number[] = [];
  let n = 0;
  for (const o of row.operands) {
    if (isImmediate(o)) tail.push(...little(choice.immediates[n++]!, immediateBytes(o, actualSize, addressBits)));
    // The low bits of that byte mean nothing.
    else if (o.kind === "xmmi") tail.push((choice.is4 << 4) | (choice.reg & 15));
  }
  const out = [...legacy];
  if (row.vex) {
    const pp = ["NP", "66", "F3", "F2"].indexOf(row.prefix ?? "NP");
    out.push(0xc4, ((r ^ 1) << 7) | ((x ^ 1) << 6) | ((b ^ 1) << 5) | row.map);
    // A length that is ignored is any.
    const length = row.vexL ?? choice.reg & 1;
    out.push((w ? 0x80 : 0) | ((~choice.vvvv & 15) << 3) | (length << 2) | pp);
  } else {
    const rex = (w ? 8 : 0) | (r << 2) | (x << 1) | b;
    if (mode === 64 && (rex || choice.rex)) out.push(0x40 | rex);
    out.push(...[[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]][row.map]!);
  }
  out.push(row.opcode + (row.plusR ? choice.opcodeReg & 7 : 0));
  if (row.fixed !== undefined) out.push(row.fixed + (row.plusI ? choice.opcodeReg & 7 : 0));
  else if (row.modrm && typeof rm !== "number" && addressBits === 16) out.push(...modrm16(reg, rm));
  else if (row.modrm) out.push(...modrm(reg, rm, tail.length, mode, (length) => at + out.length + length));
  return Uint8Array.from([...out, ...tail]);
}
