/**
 * The tests a row gets: for each mode, operand size and form (registers, memory) a few encodings with other registers,
 * addresses, immediates and prefixes. All of it follows from the table and from random numbers that the row's name seeds.
 */

import { AVX_FLOAT_ROWS } from "../../src/isa/avx/index.ts";
import { Decoded, Decoder } from "../../src/isa/decode.ts";
import { SSE_FLOAT_ROWS } from "../../src/isa/float/sse.ts";
import type { OperandSpec, Row } from "../../src/isa/row.ts";
import { ROWS } from "../../src/isa/rows.ts";
import {
  ADDRESS_SIZE,
  type Address,
  addressBitsOf,
  type Choice,
  encode,
  immediateBytes,
  isImmediate,
} from "./encode.ts";
import { NOT_RUN } from "./exceptions.ts";
import {
  CODE_16,
  CODE_BYTES,
  DATA_16,
  type Mode,
  origins,
  PLACES,
  USER_CODE_32,
  USER_CODE_64,
  USER_DATA,
  WINDOW_BYTES,
} from "./layout.ts";
import { Random } from "./random.ts";

export const FLOAT_ROWS: ReadonlySet<Row> = new Set([...SSE_FLOAT_ROWS, ...AVX_FLOAT_ROWS]);

/** Where a run's memory operand lies, or what else is special about the run: EFLAGS.TF or AC set. */
export type Aim =
  | "inside"
  | "absent"
  | "read-only"
  | "not canonical"
  | "into absent"
  | "into read-only"
  | "off alignment"
  | "single step"
  | "alignment check";

export interface MemoryOperand {
  readonly address: Address;
  /** Segment base that the prefix adds, and bits of the address size. */
  readonly segmentBase: number;
  readonly addressBits: number;
  readonly bytes: number;
  readonly alignment: number;
}

export interface Case {
  readonly row: Row;
  readonly key: string;
  readonly mode: Mode;
  /** Operand size in bits; the default one where the row does not depend on it. */
  readonly size: number;
  readonly code: Uint8Array;
  readonly choice: Choice;
  readonly memory: MemoryOperand | undefined;
  readonly aims: readonly Aim[];
}

/** Names a row: mnemonic, encoding and operands are together its own. */
export function keyOf(row: Row): string {
  const operands = row.operands.map((o) => o.text).join(",");
  const modes = ["i64", "o64"].filter((mode) => row.attributes.has(mode));
  return [row.mnemonic, row.encoding, operands, ...modes].filter(Boolean).join(" ").replace(/ +/g, " ");
}

export const FS_BASE = 0x1_0000;
export const GS_BASE = 0x2_3400;

/** Segment selectors worth trying: null, code and data of both widths, privileged ones, an empty entry, past the limit, LDT. */
export const SELECTORS = [
  DATA_16,
  0x17,
  0,
  3,
  USER_DATA,
  USER_CODE_32,
  USER_CODE_64,
  USER_DATA,
  0x28,
  0x10,
  0x18,
  0x08,
  0x50,
  0x63,
  0x1003,
  0x07,
];

const MEMORY_KINDS = new Set(["mem", "farmem", "vsib"]);
const EITHER_KINDS = new Set(["rm", "mmm", "xmmm"]);

function sizesOf(row: Row, mode: Mode): (16 | 32 | 64 | undefined)[] {
  if (!row.sized) return [undefined];
  let sizes: (16 | 32 | 64)[] = mode === 64 ? [16, 32, 64] : [16, 32];
  if (mode === 64 && row.attributes.has("f64")) sizes = [64];
  else if (mode === 64 && row.attributes.has("d64")) sizes = [16, 64];
  const onlyY =
    !row.attributes.has("size") && row.operands.every((o) => o.width !== "v" && o.width !== "z" && !o.signed);
  if (row.prefix === "66" || row.prefix === "NP" || row.vex || onlyY) sizes = sizes.filter((size) => size !== 16);
  if (mode === 64 && row.rexW !== undefined) sizes = sizes.filter((size) => (size === 64) === row.rexW);
  return sizes;
}

/** The operand that ModRM.rm names. */
const rmOperand = (row: Row): OperandSpec | undefined =>
  row.operands.find(
    (o) => MEMORY_KINDS.has(o.kind) || EITHER_KINDS.has(o.kind) || o.kind.endsWith("rm") || o.kind === "rmreg",
  );

function formsOf(row: Row): ("register" | "memory")[] {
  if (!row.modrm || row.fixed !== undefined) return ["register"];
  if (row.operands.some((o) => o.kind === "creg" || o.kind === "dreg")) return ["register"];
  // One that the meaning is not given counts here as well (PREFETCH).
  const rm = rmOperand(row) ?? row.syntax.find((o) => MEMORY_KINDS.has(o.kind));
  if (!rm) return ["register", "memory"];
  if (MEMORY_KINDS.has(rm.kind)) return ["memory"];
  return EITHER_KINDS.has(rm.kind) ? ["register", "memory"] : ["register"];
}

/** Bytes a bare address stands for. */
const AREAS: Record<string, [number, number]> = {
  FX: [512, 16],
  XS: [832, 64],
  XR: [832, 64],
  FL: [28, 1],
  FN: [108, 1],
  FR: [108, 1],
};

function extent(row: Row, o: OperandSpec | undefined, size: number): { bytes: number; alignment: number } {
  if (o?.text === "m" && row.mnemonic !== "LEA") {
    const [bytes, alignment] = AREAS[row.mnemonic.slice(0, 2)] ?? [16, 1];
    return { bytes, alignment };
  }
  const width = o?.width ?? 8;
  const bits = typeof width === "number" ? width : width === "z" ? Math.min(size, 32) : size;
  const bytes = Math.max(1, bits / 8) + (o?.kind === "farmem" ? 2 : 0);
  const aligned = bits >= 128 && !row.attributes.has("unaligned");
  return { bytes, alignment: aligned ? bytes : 1 };
}

const LOCK = 0xf0;
const isLocked = (row: Row, prefixes: readonly number[]) => prefixes.includes(LOCK) || row.mnemonic === "XCHG";

function address(random: Random, mode: Mode, plain: boolean): Address {
  const far = random.one(4) ? random.below(0x2000) - 0x1000 : random.one(2) ? random.below(256) - 128 : 0;
  const none = { base: undefined, index: undefined, scale: 0 };
  const inside = PLACES.WINDOW - origins(mode).data + 64 * random.below(6);
  if (!plain && random.one(10)) return { ...none, displacement: inside, rip: mode === 64 };
  if (!plain && random.one(12)) return { ...none, displacement: inside, rip: false };
  const base = random.pick(mode === 64 ? [3, 6, 7, 5, 3, 6, 7, 4, 8, 9, 10, 11, 12, 13, 14, 15] : [3, 6, 7, 5, 4]);
  if (plain || random.one(2)) return { base, index: undefined, scale: 0, displacement: far, rip: false };
  const index = random.pick((mode === 64 ? [0, 1, 6, 7, 5, 9, 12, 14] : [0, 1, 6, 7, 5]).filter((n) => n !== base));
  if (random.one(6)) return { base: undefined, index, scale: random.below(4), displacement: far, rip: false };
  return { base, index, scale: random.below(4), displacement: far, rip: false };
}

/** Destination, indices and mask of a gather: three registers. */
function gatherRegisters(random: Random, row: Row, mode: Mode) {
  if (!row.operands.some((o) => o.kind === "vsib")) return undefined;
  const all = Array.from({ length: mode === 64 ? 16 : 8 }, (_, i) => i);
  const take = () => all.splice(random.below(all.length), 1)[0]!;
  return { reg: take(), index: take(), vvvv: take() };
}
const indexed = (random: Random, mode: Mode, index: number): Address => ({
  base: random.pick(mode === 64 ? [3, 6, 7, 5, 4, 8, 12, 13, 15] : [3, 6, 7, 5, 4]),
  index,
  scale: random.below(4),
  displacement: random.one(2) ? random.below(256) - 128 : random.below(0x2000) - 0x1000,
  rip: false,
});

function address16(random: Random): Address {
  const displacement = random.one(3) ? 0 : random.one(2) ? random.below(256) - 128 : random.below(0x2000) - 0x1000;
  const rest = { scale: 0, rip: false };
  if (random.one(8)) {
    const inside = PLACES.WINDOW - PLACES.DATA + 64 * random.below(6);
    return { ...rest, base: undefined, index: undefined, displacement: inside };
  }
  if (random.one(2)) return { ...rest, base: random.pick([3, 5, 6, 7]), index: undefined, displacement };
  return { ...rest, base: random.pick([3, 5]), index: random.pick([6, 7]), displacement };
}

function register(random: Random, o: OperandSpec | undefined, mode: Mode): number {
  const all = mode === 64 ? 16 : 8;
  switch (o?.kind) {
    case "mm":
    case "mmm":
    case "mmrm":
      return random.below(8);
    case "sreg":
      return random.below(6);
    case "creg":
      return random.pick(mode === 64 ? [0, 2, 3, 4, 8] : [0, 2, 3, 4]);
    case "dreg":
      return random.pick([0, 1, 2, 3, 6, 7]);
    case "reg":
    case "rm":
    case "rmreg":
    case "vvvv": {
      // Less often RSP, whose value is an address elsewhere.
      const n = random.below(all);
      return n === 4 ? random.below(all) : n;
    }
    default:
      return random.below(all);
  }
}

/** The edges of integers up to 32 bits. */
export const EDGES_32 = [
  0n,
  1n,
  2n,
  0x7fn,
  0x80n,
  0xffn,
  0x7fffn,
  0x8000n,
  0xffffn,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
];
const EDGES = [...EDGES_32, -1n];
const ENTER_SIZES = [0n, 8n, 16n, 24n];
const ENTER_LEVELS = [0n, 1n, 2n, 3n];

function immediate(random: Random, row: Row, o: OperandSpec, size: number, length: number, mode: Mode): bigint {
  const away = BigInt(random.below(0x400) + 2 * CODE_BYTES);
  const offset = random.one(2) ? away : -away;
  if (o.kind === "rel") return length === 1 ? BigInt.asIntN(8, away % 96n) + (random.one(2) ? 32n : -128n) : offset;
  if (o.kind === "moffs") return BigInt(PLACES.WINDOW - origins(mode).data + random.below(WINDOW_BYTES - 64));
  if (o.kind === "farimm") {
    const target = BigInt(PLACES.INSTRUCTION - origins(mode).code) + offset;
    const selector = BigInt(mode === 16 && random.one(2) ? CODE_16 : random.pick(SELECTORS));
    return size === 16 ? BigInt.asUintN(16, target) | (selector << 16n) : target | (selector << 32n);
  }
  // 0x80 is the way into the host's kernel.
  if (row.mnemonic === "INT") return random.pick([3n, 4n, 0n, 1n, 5n, 14n, 0x20n, 0x81n, 0xffn]);
  if (row.mnemonic === "ENTER") return random.pick(o.width === 16 ? ENTER_SIZES : ENTER_LEVELS);
  if (row.mnemonic === "RET") return 8n * BigInt(random.below(6));
  if (random.one(2)) return random.pick(EDGES);
  return random.big();
}

/** Encodings per mode, size and form, and runs of each. More where immediates choose the work or values matter most. */
function effort(row: Row, mode: Mode): { encodings: number; runs: number } {
  if (row.vex && row.attributes.has("sse")) {
    if (mode === 32) return { encodings: 1, runs: 2 };
    const control = row.operands.some((o) => o.kind === "imm");
    return { encodings: control ? 5 : 3, runs: FLOAT_ROWS.has(row) && !control ? 9 : 4 };
  }
  if (mode === 16) return { encodings: row.attributes.has("i64") ? 3 : 2, runs: 3 };
  if (mode === 32) return { encodings: row.attributes.has("i64") ? 4 : 2, runs: row.attributes.has("i64") ? 8 : 4 };
  if (row.attributes.has("cpl0") || row.operands.length + row.attributes.size === 0) return { encodings: 2, runs: 3 };
  if (row.operands.some((o) => o.kind === "imm") && row.attributes.has("sse")) return { encodings: 10, runs: 4 };
  if (row.attributes.has("fpu")) return { encodings: 3, runs: 10 };
  if (FLOAT_ROWS.has(row)) return { encodings: 4, runs: 16 };
  if (row.attributes.has("sse")) return { encodings: 3, runs: 7 };
  if (row.attributes.has("mmx")) return { encodings: 2, runs: 5 };
  return { encodings: 4, runs: 7 };
}

function aimsOf(
  row: Row,
  memory: MemoryOperand | undefined,
  mode: number,
  runs: number,
  first: boolean,
  locked: boolean,
): Aim[] {
  const aims: Aim[] = Array.from({ length: runs }, () => "inside");
  if (first || row.attributes.has("rep")) aims.push("single step");
  if (!first || !memory || row.mnemonic === "LEA") return aims;
  if (memory.bytes > 1 && memory.alignment === 1) aims.push("alignment check");
  aims.push("absent", "read-only");
  if (mode === 64 && memory.addressBits === 64) aims.push("not canonical");
  if (memory.alignment > 1) aims.push("off alignment");
  // Processors read and write an image in an order of their own.
  else if (memory.bytes > 1 && !locked && row.operands.every((o) => o.text !== "m"))
    aims.push("into absent", "into read-only");
  return aims;
}

function makeCase(
  row: Row,
  key: string,
  mode: Mode,
  size: 16 | 32 | 64 | undefined,
  form: string,
  n: number,
): Case | undefined {
  const random = new Random(`${key} ${mode} ${size ?? 0} ${form} ${n}`);
  const prefixes: number[] = [];
  const isMemory = form === "memory";
  let segmentBase = 0;
  const usesMemory = isMemory || row.operands.some((o) => o.kind === "moffs") || row.attributes.has("asize");
  const addressSized = mode !== 32 && n > 0 && usesMemory && random.one(5);
  if (addressSized) prefixes.push(ADDRESS_SIZE);
  if (usesMemory && n > 0 && random.one(5)) {
    if (mode === 64) {
      const fs = random.one(2);
      prefixes.push(fs ? 0x64 : 0x65);
      segmentBase = fs ? FS_BASE : GS_BASE;
    } else prefixes.push(random.pick([0x26, 0x2e, 0x36, 0x3e]));
  }
  if (row.attributes.has("rep") && n > 0) prefixes.push(n % 2 ? 0xf3 : 0xf2);
  const { encodings, runs } = effort(row, mode);
  const refused = n === encodings;
  if (refused || (row.attributes.has("lock") && isMemory && n % 2 === 1)) prefixes.push(LOCK);
  const addressBits = addressBitsOf(mode, prefixes);
  segmentBase += origins(mode).data;
  const reg = row.operands.find((o) => ["reg", "mm", "xmm", "sreg", "creg", "dreg"].includes(o.kind));
  const rm = rmOperand(row);
  const actualSize =
    size ??
    (mode === 64 && (row.rexW || row.attributes.has("f64") || row.attributes.has("d64")) ? 64 : mode === 16 ? 16 : 32);
  const locked = isLocked(row, prefixes);
  const registers = gatherRegisters(random, row, mode);
  let memory: MemoryOperand | undefined;
  if (isMemory) {
    const { bytes, alignment } = extent(row, rm, actualSize);
    const natural = locked && bytes <= 16 ? bytes : 1;
    memory = {
      address:
        addressBits === 16
          ? address16(random)
          : registers
            ? indexed(random, mode, registers.index)
            : address(random, mode, n === 0),
      segmentBase,
      addressBits,
      bytes,
      alignment: Math.max(alignment, natural),
    };
  }
  const vvvv = row.operands.find((o) => o.kind === "vvvv" || o.kind === "xmmv");
  const is4 = row.operands.find((o) => o.kind === "xmmi");
  const choice: Choice = {
    mode,
    size,
    reg: registers?.reg ?? register(random, reg, mode),
    rm: memory ? memory.address : register(random, rm, mode),
    vvvv: registers?.vvvv ?? (vvvv ? register(random, vvvv, mode) : 0),
    is4: is4 ? register(random, is4, mode) : 0,
    opcodeReg: row.plusI ? random.below(8) : register(random, reg, mode),
    immediates: row.operands
      .filter(isImmediate)
      .map((o) => immediate(random, row, o, actualSize, immediateBytes(o, actualSize, addressBits), mode)),
    prefixes,
    rex: random.one(3),
  };
  if (segmentBase && mode === 64 && memory && memory.address.base === undefined && memory.address.index === undefined)
    return undefined;
  const code = encode(row, choice, PLACES.INSTRUCTION);
  if (code.length > CODE_BYTES) return undefined;
  const aims: readonly Aim[] = refused ? ["inside"] : aimsOf(row, memory, mode, runs, n === 0, locked);
  return { row, key, mode, size: actualSize, code, choice, memory, aims };
}

/** Does the project's decoder find the row, size and form meant? NOP for XCHG and the like are rows of their own. */
function isMeant(decoder: Decoder, made: Case): boolean {
  const d = new Decoded();
  const padded = new Uint8Array(32).fill(0xcc);
  padded.set(made.code);
  const outcome = decoder.decode(padded, 0, 15, { codeBits: made.mode, protectedMode: true }, d);
  // LOCK on what cannot be locked is a case too.
  if (outcome === "undefined") return made.choice.prefixes.includes(LOCK);
  return outcome === "ok" && d.row === made.row && d.length === made.code.length;
}

/** Instructions that a compiler puts in front of a branch: the software CPU may run the two as one. */
const BEFORE_BRANCH = new Set(["CMP", "TEST", "ADD", "SUB", "AND", "OR", "XOR", "INC", "DEC", "BT"]);
const JUMP = 0x70;
const DISTANCE = 0x20;

/** The same with each conditional branch behind it. */
function withBranches(c: Case): Case[] {
  if (!BEFORE_BRANCH.has(c.row.mnemonic) || c.choice.prefixes.length > 0) return [];
  return Array.from({ length: 16 }, (_, condition) => {
    const code = Uint8Array.from([...c.code, JUMP | condition, DISTANCE]);
    return { ...c, code, aims: ["inside", "inside", "inside"] as const };
  }).filter(({ code }) => code.length <= CODE_BYTES);
}

export interface RowCases {
  readonly row: Row;
  readonly key: string;
  readonly cases: readonly Case[];
  /** Modes, sizes and forms that got no case. */
  readonly missing: readonly string[];
}

export function allCases(): RowCases[] {
  const decoder = new Decoder(ROWS, new Set(ROWS.flatMap((row) => row.features)));
  return ROWS.map((row) => {
    const key = keyOf(row);
    const cases: Case[] = [];
    const missing: string[] = [];
    const seen = new Set<string>();
    const vector = row.attributes.has("sse") || row.attributes.has("mmx");
    const modes = ([64, 32, 16] as const).filter(
      // Vector instructions do not know 16-bit code from 32-bit code.
      (mode) => !row.attributes.has(mode === 64 ? "i64" : "o64") && !(mode === 16 && vector),
    );
    for (const mode of NOT_RUN[key] === undefined && NOT_RUN[row.mnemonic] === undefined ? modes : []) {
      if (mode !== 64 && row.rexW) continue;
      for (const size of sizesOf(row, mode)) {
        for (const form of formsOf(row)) {
          let found = false;
          // The last one has a LOCK that it may not have.
          const lockable = row.attributes.has("lock") && form === "memory";
          for (let n = 0; n < effort(row, mode).encodings + (lockable ? 0 : 1); n++) {
            const made = makeCase(row, key, mode, size, form, n);
            if (!made || !isMeant(decoder, made)) continue;
            found ||= n < effort(row, mode).encodings;
            const name = `${mode} ${Buffer.from(made.code).toString("hex")}`;
            // One encoding again has other values only.
            if (seen.has(name)) continue;
            seen.add(name);
            cases.push(made);
            if (n === 0 && mode === 64) cases.push(...withBranches(made));
          }
          if (!found) missing.push(`${mode}-bit ${size ?? ""} ${form}`);
        }
      }
    }
    return { row, key, cases, missing };
  });
}
