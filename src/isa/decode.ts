/**
 * Decoder: guest bytes to a row of the table and its operands (SDM vol. 2, chapter 2). It is built from the rows
 * alone; no opcode is named here but prefixes.
 */
import type { OperandKind, OperandSpec, Prefix, Row } from "./row.ts";

/** What decides how bytes are read. `codeBits` is 64, or CS.D as 16 or 32; VEX exists in protected mode only. */
export interface DecodeMode {
  readonly codeBits: 16 | 32 | 64;
  readonly protectedMode: boolean;
}

/** The longest instruction the architecture allows. */
export const MAX_LENGTH = 15;

/** Base register numbers beyond the sixteen: none, and the address of the next instruction. */
export const NO_REGISTER = -1;
export const BASE_RIP = 16;

export type Outcome = "ok" | "undefined" | "too-long" | "truncated";

/** One decoded instruction. The decoder fills the same object again and again. */
export class Decoded {
  outcome: Outcome = "undefined";
  row!: Row;
  length = 0;
  /** The mode it was decoded in. */
  codeBits: 16 | 32 | 64 = 64;
  size: 16 | 32 | 64 = 32;
  addressSize: 16 | 32 | 64 = 64;
  rep: "none" | "rep" | "repne" = "none";
  lock = false;
  /** Segment override, 0 ES … 5 GS; -1 none. `segment` is the one that applies to a memory operand. */
  override = -1;
  segment = 3;
  rex = 0;
  modrm = 0;
  isMemory = false;
  /** ModRM.reg, ModRM.rm (register form), opcode register and VEX.vvvv, with their REX bits. */
  reg = 0;
  rm = 0;
  opcodeReg = 0;
  vvvv = 0;
  /** The register in bits 7:4 of an immediate byte. */
  is4 = 0;
  base = NO_REGISTER;
  index = NO_REGISTER;
  scale = 0;
  displacement = 0;
  /** First immediate (sign- or zero-extended to 64 bits, in two halves) and second one. */
  immediateLow = 0;
  immediateHigh = 0;
  immediate2 = 0;
}

/** What may be asked of an instruction's bytes besides its opcode: a bit for each answer. */
const GIVEN = {
  noPrefix: 1,
  operand16: 2,
  repe: 4,
  repne: 8,
  w0: 16,
  w1: 32,
  vexL0: 64,
  vexL1: 128,
  register: 256,
  memory: 512,
  /** VEX.vvvv names a register. */
  vvvv: 1024,
  /** REX.B with a one-byte opcode. */
  rexB: 2048,
} as const;
const ANY = 4095;
/** Mandatory prefixes in the encoding of VEX.pp, the same three otherwise. */
const PREFIXES = [GIVEN.noPrefix, GIVEN.operand16, GIVEN.repe, GIVEN.repne] as const;
const ALLOWED_PREFIXES: Readonly<Record<Prefix, number>> = {
  NP: GIVEN.noPrefix,
  NFx: GIVEN.noPrefix | GIVEN.operand16,
  "66": GIVEN.operand16,
  F3: GIVEN.repe,
  F2: GIVEN.repne,
};
const ALL_PREFIXES = ALLOWED_PREFIXES.NFx | GIVEN.repe | GIVEN.repne;

/** A row as the decoder looks at it, derived from it once: sets and lists are too slow to ask at each instruction. */
class Candidate {
  readonly row: Row;
  readonly modrm: boolean;
  /** Which bits of ModRM it asks for, and as what. */
  readonly modrmMask: number;
  readonly modrmValue: number;
  /** The answers it takes in 64-bit mode, and elsewhere: none where it does not exist. */
  readonly in64: number;
  readonly elsewhere: number;
  /** The numbers of control, debug or segment registers that ModRM.reg may name. */
  readonly special: "creg" | "dreg" | "sreg" | undefined;
  readonly vsib: boolean;
  readonly lockable: boolean;
  /** It takes 66 as a mandatory prefix, not as the operand size. */
  readonly takes66: boolean;
  readonly force64: boolean;
  readonly default64: boolean;
  /** Those that bytes behind ModRM stand for. */
  readonly immediates: readonly OperandSpec[];

  /** `shared`: another row has the opcode for all register numbers in it (90: NOP and XCHG). */
  constructor(row: Row, shared: boolean) {
    const { attributes, operands } = row;
    this.row = row;
    this.modrm = row.modrm;
    this.modrmMask = row.fixed !== undefined ? (row.plusI ? 0xf8 : 0xff) : row.digit !== undefined ? 0x38 : 0;
    this.modrmValue = (row.fixed ?? (row.digit ?? 0) << 3) & this.modrmMask;
    let allowed: number = ANY;
    if (row.vex || row.prefix !== undefined) allowed &= ~ALL_PREFIXES | ALLOWED_PREFIXES[row.prefix ?? "NP"];
    if (row.vexL !== undefined) allowed &= ~(row.vexL === 0 ? GIVEN.vexL1 : GIVEN.vexL0);
    // VEX.vvvv is 1111b, register 0 here, where it names none (SDM vol. 2, 2.3.5.6).
    if (!operands.some((o) => o.kind === "vvvv" || o.kind === "xmmv")) allowed &= ~GIVEN.vvvv;
    if (row.modrm) allowed &= ~(row.fixed !== undefined ? 0 : formsRefused(row));
    // With REX.B, 90 is XCHG; F3 90 is PAUSE all the same.
    if (shared && !row.plusR && row.prefix === undefined) allowed &= ~GIVEN.rexB;
    // Outside 64-bit mode W that widens a general register is ignored in VEX rows.
    const ignored = row.vex && operands.some((o) => GENERAL.has(o.kind));
    const w = row.rexW === undefined ? 0 : row.rexW ? GIVEN.w0 : GIVEN.w1;
    this.in64 = attributes.has("i64") ? 0 : allowed & ~w;
    this.elsewhere = attributes.has("o64") || (ignored && row.rexW === true) ? 0 : ignored ? allowed : allowed & ~w;
    this.special = operands.find((o) => o.kind === "creg" || o.kind === "dreg" || o.kind === "sreg")
      ?.kind as typeof this.special;
    this.vsib = operands.some((o) => o.kind === "vsib");
    this.lockable = attributes.has("lock");
    this.takes66 = row.prefix === "66";
    this.force64 = attributes.has("f64");
    this.default64 = attributes.has("d64");
    this.immediates = operands.filter((o) => IN_BYTES.has(o.kind));
  }
}

type Candidates = Candidate[][];

const emptyMaps = (): Candidates[] => [0, 1, 2, 3].map(() => Array.from({ length: 256 }, () => []));

export class Decoder {
  readonly #legacy = emptyMaps();
  readonly #vex = emptyMaps();

  /** `features` are the CPUID features of the model: a row that needs another is as if it were not there. */
  constructor(rows: readonly Row[], features: ReadonlySet<string>) {
    const present = rows.filter((row) => row.features.every((f) => features.has(f)));
    /** One-byte opcodes that hold a register number. */
    const numbered = new Set<number>();
    for (const row of present) if (row.plusR && row.map === 0 && !row.vex) numbered.add(row.opcode);
    for (const row of present) {
      const shared = row.map === 0 && !row.vex && numbered.has(row.opcode & 0xf8);
      const candidate = new Candidate(row, shared);
      const table = (row.vex ? this.#vex : this.#legacy)[row.map]!;
      for (let i = 0; i < (row.plusR ? 8 : 1); i++) table[row.opcode + i]!.push(candidate);
    }
    for (const table of [...this.#legacy, ...this.#vex]) {
      for (const candidates of table) candidates.sort((a, b) => rank(b.row) - rank(a.row));
    }
  }

  /** Decodes the instruction at the start of `code`; only `available` bytes may be looked at. */
  decode(code: Uint8Array, start: number, available: number, mode: DecodeMode, d: Decoded): Outcome {
    const end = Math.min(available, MAX_LENGTH);
    const short: Outcome = available >= MAX_LENGTH ? "too-long" : "truncated";
    const mode64 = mode.codeBits === 64;
    let at = 0;
    let operand16 = false;
    let address = false;
    let rep = 0;
    d.override = -1;
    d.lock = false;
    d.rex = 0;
    d.codeBits = mode.codeBits;
    d.outcome = short;

    let byte = 0;
    for (;;) {
      if (at >= end) return short;
      byte = code[start + at++]!;
      if (byte === 0x66) operand16 = true;
      else if (byte === 0x67) address = true;
      else if (byte === 0xf0) d.lock = true;
      else if (byte === 0xf2 || byte === 0xf3) rep = byte;
      else if (byte === 0x2e || byte === 0x36 || byte === 0x3e || byte === 0x26) {
        // In 64-bit mode these have no effect, not even on an earlier FS or GS (SDM vol. 2, 2.1.1 and vol. 1, 3.3.7.1).
        if (!mode64) d.override = (byte >> 3) & 3;
      } else if (byte === 0x64 || byte === 0x65) d.override = byte - 0x60;
      else if (mode64 && (byte & 0xf0) === 0x40) {
        d.rex = byte;
        continue;
      } else break;
      d.rex = 0;
    }

    let map = 0;
    let tables = this.#legacy;
    let w = (d.rex & 8) !== 0;
    let given: number =
      rep === 0xf3 ? GIVEN.repe : rep === 0xf2 ? GIVEN.repne : operand16 ? GIVEN.operand16 : GIVEN.noPrefix;
    d.vvvv = 0;
    if (byte === 0x0f) {
      if (at >= end) return short;
      byte = code[start + at++]!;
      map = 1;
      if (byte === 0x38 || byte === 0x3a) {
        map = byte === 0x38 ? 2 : 3;
        if (at >= end) return short;
        byte = code[start + at++]!;
      }
    } else if ((byte === 0xc4 || byte === 0xc5) && mode.protectedMode) {
      if (at >= end) return short;
      const second = code[start + at]!;
      if (mode64 || (second & 0xc0) === 0xc0) {
        if (rep !== 0 || operand16 || d.lock || d.rex !== 0) return (d.outcome = "undefined");
        tables = this.#vex;
        at++;
        let last = second;
        let inverted = second & 0x80 ? 0 : 4;
        map = 1;
        if (byte === 0xc4) {
          if (at >= end) return short;
          inverted |= (second & 0x40 ? 0 : 2) | (second & 0x20 ? 0 : 1);
          map = second & 0x1f;
          last = code[start + at++]!;
          w = (last & 0x80) !== 0;
        }
        if (map < 1 || map > 3) return (d.outcome = "undefined");
        d.rex = mode64 ? 0x40 | inverted : 0;
        const vvvv = ~(last >> 3) & 15;
        d.vvvv = mode64 ? vvvv : vvvv & 7;
        given = PREFIXES[last & 3]! | (last & 4 ? GIVEN.vexL1 : GIVEN.vexL0) | (vvvv === 0 ? 0 : GIVEN.vvvv);
        if (at >= end) return short;
        byte = code[start + at++]!;
      }
    }
    const candidates = tables[map]![byte]!;
    const modrm = at < available ? code[start + at]! : -1;
    given |= (w ? GIVEN.w1 : GIVEN.w0) | (modrm < 0 ? 0 : modrm < 0xc0 ? GIVEN.memory : GIVEN.register);
    if (map === 0 && (d.rex & 1) !== 0) given |= GIVEN.rexB;
    let candidate: Candidate | undefined;
    for (let i = 0; i < candidates.length; i++) {
      const c = candidates[i]!;
      if (c.modrm && modrm < 0) return (d.outcome = short);
      if ((given & ~(mode64 ? c.in64 : c.elsewhere)) !== 0 || (modrm & c.modrmMask) !== c.modrmValue) continue;
      candidate = c;
      break;
    }
    if (!candidate) return (d.outcome = "undefined");

    const { row } = candidate;
    d.row = row;
    d.rep = rep === 0xf3 ? "rep" : rep === 0xf2 ? "repne" : "none";
    d.addressSize = mode64 ? (address ? 32 : 64) : (mode.codeBits === 16) !== address ? 16 : 32;
    const has66 = operand16 && !candidate.takes66;
    if (mode64) {
      if (w || candidate.force64) d.size = 64;
      else if (has66) d.size = 16;
      else d.size = candidate.default64 ? 64 : 32;
    } else d.size = (mode.codeBits === 16) !== has66 ? 16 : 32;
    d.opcodeReg = (byte & 7) | ((d.rex & 1) << 3);
    d.isMemory = false;
    d.displacement = 0;
    d.segment = d.override < 0 ? 3 : d.override;
    d.modrm = 0;
    if (candidate.modrm) {
      at++;
      d.modrm = modrm;
      d.reg = ((modrm >> 3) & 7) | ((d.rex & 4) << 1);
      d.rm = (modrm & 7) | ((d.rex & 1) << 3);
      const { special, vsib } = candidate;
      // REX.R means nothing to segment registers (SDM vol. 2, 2.2.1.2).
      if (special === "sreg") d.reg &= 7;
      if (special && !exists(special, d.reg)) return (d.outcome = "undefined");
      if (modrm < 0xc0 && (!special || special === "sreg")) {
        d.isMemory = true;
        // VSIB is a SIB byte, which 16-bit addresses have none of (SDM vol. 2, 2.3.12).
        if (vsib && (d.addressSize === 16 || (modrm & 7) !== 4)) return (d.outcome = "undefined");
        at =
          d.addressSize === 16
            ? this.#memory16(code, start, at, end, d)
            : this.#memory(code, start, at, end, mode64, vsib, d);
        if (at < 0) return (d.outcome = short);
        // Destination, indices and mask are three registers (SDM vol. 2, VGATHER).
        if (vsib && (d.reg === d.index || d.reg === d.vvvv || d.index === d.vvvv)) return (d.outcome = "undefined");
      }
    }
    if (d.lock && !(candidate.lockable && d.isMemory)) return (d.outcome = "undefined");
    d.immediateLow = 0;
    d.immediateHigh = 0;
    if (candidate.immediates.length !== 0) {
      at = this.#immediates(code, start, at, end, candidate.immediates, d);
      if (at < 0) return (d.outcome = short);
    }
    d.length = at;
    return (d.outcome = "ok");
  }

  /** 16-bit addressing forms (SDM vol. 2, table 2-1). Returns the new position, -1 where bytes are missing. */
  #memory16(code: Uint8Array, start: number, at: number, end: number, d: Decoded): number {
    const mod = d.modrm >> 6;
    const rm = d.modrm & 7;
    d.base = [3, 3, 5, 5, 6, 7, 5, 3][rm]!;
    d.index = [6, 7, 6, 7, NO_REGISTER, NO_REGISTER, NO_REGISTER, NO_REGISTER][rm]!;
    d.scale = 0;
    const length = mod === 1 ? 1 : mod === 2 || (mod === 0 && rm === 6) ? 2 : 0;
    if (mod === 0 && rm === 6) d.base = NO_REGISTER;
    if (d.override < 0 && d.base === 5) d.segment = 2;
    if (at + length > end) return -1;
    if (length === 1) d.displacement = (code[start + at]! << 24) >> 24;
    else if (length === 2) d.displacement = ((code[start + at]! | (code[start + at + 1]! << 8)) << 16) >> 16;
    return at + length;
  }

  #memory(
    code: Uint8Array,
    start: number,
    at: number,
    end: number,
    mode64: boolean,
    vsib: boolean,
    d: Decoded,
  ): number {
    const mod = d.modrm >> 6;
    let base = d.modrm & 7;
    d.index = NO_REGISTER;
    d.scale = 0;
    const hasSib = base === 4;
    if (hasSib) {
      if (at >= end) return -1;
      const sib = code[start + at++]!;
      d.scale = sib >> 6;
      const index = ((sib >> 3) & 7) | ((d.rex & 2) << 2);
      if (vsib || index !== 4) d.index = index;
      base = sib & 7;
    }
    let length = mod === 1 ? 1 : mod === 2 ? 4 : 0;
    if (mod === 0 && base === 5) {
      length = 4;
      d.base = mode64 && !hasSib ? BASE_RIP : NO_REGISTER;
    } else d.base = base | ((d.rex & 1) << 3);
    if (d.override < 0 && (d.base === 4 || d.base === 5)) d.segment = 2;
    if (at + length > end) return -1;
    if (length === 1) d.displacement = (code[start + at]! << 24) >> 24;
    else if (length === 4) d.displacement = word(code, start + at);
    return at + length;
  }

  #immediates(
    code: Uint8Array,
    start: number,
    at: number,
    end: number,
    operands: readonly OperandSpec[],
    d: Decoded,
  ): number {
    let first = true;
    for (const operand of operands) {
      let length = 0;
      if (operand.kind === "imm" || operand.kind === "rel") {
        if (operand.width === "z") length = d.size === 16 ? 2 : 4;
        else if (operand.width === "v") length = d.size / 8;
        else length = (operand.width as number) / 8;
      } else if (operand.kind === "moffs") {
        length = d.addressSize / 8;
        d.isMemory = true;
        d.base = NO_REGISTER;
        d.index = NO_REGISTER;
        d.scale = 0;
      } else if (operand.kind === "farimm") length = d.size === 16 ? 4 : 6;
      else {
        if (at >= end) return -1;
        d.is4 = (code[start + at++]! >> 4) & (d.codeBits === 64 ? 15 : 7);
        continue;
      }
      if (at + length > end) return -1;
      const p = start + at;
      let low = 0;
      let high = 0;
      if (length === 1) low = operand.signed ? (code[p]! << 24) >> 24 : code[p]!;
      else if (length === 2) {
        const value = code[p]! | (code[p + 1]! << 8);
        low = operand.signed ? (value << 16) >> 16 : value;
      } else if (operand.kind === "farimm") {
        low = length === 4 ? code[p]! | (code[p + 1]! << 8) : word(code, p);
        high = code[p + length - 2]! | (code[p + length - 1]! << 8);
      } else {
        low = word(code, p);
        if (length === 8) high = word(code, p + 4);
      }
      if (operand.signed && length < 8) high = low >> 31;
      if (first) {
        d.immediateLow = low;
        d.immediateHigh = high;
      } else d.immediate2 = low;
      first = false;
      at += length;
    }
    return at;
  }
}

/** Operands that W widens. */
const GENERAL: ReadonlySet<OperandKind> = new Set(["reg", "rm", "rmreg", "vvvv"]);
/** Operands with bytes of their own; `xmmi`: half of one. */
const IN_BYTES: ReadonlySet<OperandKind> = new Set(["imm", "rel", "moffs", "farimm", "xmmi"]);

/** Rows that ask for more come first. */
function rank(row: Row): number {
  return (
    (row.fixed !== undefined ? (row.plusI ? 40 : 50) : row.digit !== undefined ? 20 : 0) +
    (row.prefix === undefined ? 0 : row.prefix === "NP" ? 4 : 5) +
    (row.rexW !== undefined ? 1 : 0) +
    (row.plusR ? -1 : 0)
  );
}

/** Is there a segment, control or debug register of that number? (SDM vol. 2, MOV; 0 2 3 4 8 are the control registers.) */
function exists(kind: OperandKind, number: number): boolean {
  if (kind === "creg") return number === 8 || (number < 5 && number !== 1);
  return number < (kind === "sreg" ? 6 : 8);
}

/** Which of the two forms of ModRM the row does not have: GIVEN. */
function formsRefused(row: Row): number {
  for (const operand of row.syntax) {
    if (operand.kind === "mem" || operand.kind === "farmem" || operand.kind === "vsib") return GIVEN.register;
    if (operand.kind === "rmreg" || operand.kind === "mmrm" || operand.kind === "xmmrm") {
      // Both are the register form here (SDM vol. 2, MOV from and to control registers).
      return row.operands.some((o) => o.kind === "creg" || o.kind === "dreg") ? 0 : GIVEN.memory;
    }
  }
  return 0;
}

const word = (code: Uint8Array, p: number): number =>
  code[p]! | (code[p + 1]! << 8) | (code[p + 2]! << 16) | (code[p + 3]! << 24);
