/**
 * How instructions are declared: a mnemonic, a meaning, and one line per encoding in the notation of
 * SDM vol. 2 (section 3.1.1):
 *
 *   encoding | operands | attributes
 *
 * Encoding: NP/66/F3/F2 = mandatory prefix (NP: none of them; NFx: neither F3 nor F2); REX.W / W0; opcode bytes; "+r" register in the
 * opcode; "/r" or "/digit" ModRM; a further byte after the opcode is a fixed ModRM byte ("0F 01 D0"), "C0+i" one whose
 * low three bits are a register; ib iw id iq iz iv immediates and cb cz displacements are implied by the operands and left out.
 * VEX: "VEX.L0.66.0F38.W1 F7 /r"; the length is L0 or 128, L1 or 256, or LIG where it is ignored; WIG: W is ignored.
 *
 * Operands, separated by commas, written ones marked `w:` or `rw:`
 *   r8 r16 r32 r64 rv ry    general register in ModRM.reg (or in the opcode with +r)
 *   rm8 .. rm64 rmv rmy     register or memory in ModRM.rm
 *   r32rm r64rm ryrm rvrm   the same, register only
 *   m8 .. m64 m80 m128 mv my m   memory only; m is the address itself, mp a far pointer 16:v
 *   vy                      general register in VEX.vvvv
 *   al cl dx av az          fixed registers (av: AL's family at operand size); one: the constant 1
 *   imm8 simm8 imm16 immz immv   immediates: simm8 and immz sign-extended to the operand size, immv full size
 *   rel8 relz               branch displacement; ptr16z: far immediate; moffs8 moffsv: absolute address
 *   sreg creg dreg sti      segment, control, debug, x87 register
 *   mm mmm32 mmm64 mmrm     MMX register in reg; register or memory; register only in rm
 *   xmm xmmm16 .. xmmm128 xmmrm xmm0   the same for XMM; ymm ymmm256 ymmrm   for YMM
 *   xmmv ymmv               vector register in VEX.vvvv; xmmi ymmi   in bits 7:4 of an immediate byte (is4)
 *   m32[xmm] .. m64[ymm]    memory elements of that width, their indices in a vector register (VSIB; SDM: vm32x and the like)
 *   v: 16, 32 or 64 bits by operand size; y: 32 or 64; z: immediates of 16 or 32
 *   [any]    written in assembly language but not handed to the meaning, which knows it or has no use for it: one of the
 *            above, a register by name, or memory: dst8 dstv the string at ES:rDI, src8 srcv that at rSI, table8 a byte
 *            of the table at rBX
 *
 * Attributes
 *   i64 invalid in 64-bit mode, o64 only there; d64 default operand size is 64, f64 it is always 64
 *   lock LOCK prefix allowed (else #UD); cpl0 #GP(0) unless CPL is 0
 *   size: the meaning depends on the operand size though no operand shows it; asize, mode, rep: on address size, 64-bit mode, REP prefix
 *   end: control never falls through to the next instruction
 *   fpu: x87 (checks CR0.EM, TS and a pending exception), nowait: without the pending exception; mmx, sse: checks of those sets
 *   (sse with VEX: those of AVX)
 *   unaligned: memory operands of 16 and 32 bytes need no alignment
 *   any other word: the CPUID feature that brings the row (cpu/cpuid.ts), else #UD
 */
import type { Meaning } from "./context.ts";

export type Access = "r" | "w" | "rw";

export type OperandKind =
  | "reg" // general register, ModRM.reg or opcode
  | "rm" // general register or memory
  | "rmreg" // general register in ModRM.rm
  | "mem" // memory, also with bits 0: the address itself
  | "vvvv"
  | "fixed" // a given register
  | "one"
  | "imm"
  | "rel"
  | "farimm"
  | "farmem"
  | "moffs"
  | "sreg"
  | "creg"
  | "dreg"
  | "sti"
  | "mm"
  | "mmm"
  | "mmrm"
  | "xmm" // XMM or YMM, by the width
  | "xmmm"
  | "xmmrm"
  | "xmmv"
  | "xmmi"
  | "xmm0"
  | "vsib";

/** Width of an operand: bits, or how it follows the operand size. */
export type Width = number | "v" | "y" | "z";

export interface OperandSpec {
  readonly text: string;
  readonly kind: OperandKind;
  readonly access: Access;
  readonly width: Width;
  /** Immediates: sign-extended from `width` to the operand size. */
  readonly signed: boolean;
  /** Fixed register number; VSIB: bits of the vector of indices. */
  readonly register: number;
}

/** A register or memory operand that no bits of the encoding stand for. */
export interface ImpliedOperand {
  readonly kind: "implied";
  readonly text: string;
}

export type Prefix = "NP" | "NFx" | "66" | "F3" | "F2";
/** 0: one byte, 1: 0F, 2: 0F 38, 3: 0F 3A. */
export type OpcodeMap = 0 | 1 | 2 | 3;

export interface Row {
  readonly mnemonic: string;
  readonly meaning: Meaning;
  readonly encoding: string;
  readonly map: OpcodeMap;
  readonly opcode: number;
  /** Mandatory prefix, if the row asks for one. */
  readonly prefix: Prefix | undefined;
  readonly rexW: boolean | undefined;
  readonly vex: boolean;
  /** VEX.L, where it matters: 0 for 128 bits. */
  readonly vexL: 0 | 1 | undefined;
  /** Register number in the low three bits of the opcode. */
  readonly plusR: boolean;
  readonly modrm: boolean;
  readonly digit: number | undefined;
  /** A fixed ModRM byte; with `plusI` its low three bits are a register. */
  readonly fixed: number | undefined;
  readonly plusI: boolean;
  readonly operands: readonly OperandSpec[];
  /** The operands as assembly language shows them: implied ones too. */
  readonly syntax: readonly (OperandSpec | ImpliedOperand)[];
  readonly attributes: ReadonlySet<string>;
  readonly features: readonly string[];
  /** Its code depends on the operand size. */
  readonly sized: boolean;
  /** Position in the whole table: names the row in handler tables and tests. */
  id: number;
}

const FLAGS = new Set("i64 o64 d64 f64 lock cpl0 size asize mode rep end fpu nowait mmx sse unaligned".split(" "));

const FIXED: Record<string, [number, Width]> = {
  al: [0, 8],
  ah: [4, 8],
  cl: [1, 8],
  ax: [0, 16],
  dx: [2, 16],
  eax: [0, 32],
  rax: [0, 64],
  av: [0, "v"],
  az: [0, "z"],
};

const PREFIXED: [RegExp, OperandKind][] = [
  [/^rm(\d+|[vyz])$/, "rm"],
  [/^r(\d+|[vy])rm$/, "rmreg"],
  [/^r(\d+|[vy])$/, "reg"],
  [/^m(\d+|[vy])$/, "mem"],
  [/^v(\d+|y)$/, "vvvv"],
  [/^moffs(8|v)$/, "moffs"],
  [/^rel(8|z)$/, "rel"],
  [/^s?imm(\d+|[zv])$/, "imm"],
  [/^mmm(\d+)$/, "mmm"],
  [/^[xy]mmm(\d+)$/, "xmmm"],
];
const PLAIN: Record<string, [OperandKind, Width]> = {
  m: ["mem", 0],
  mp: ["farmem", "v"],
  ptr16z: ["farimm", "z"],
  one: ["one", 8],
  sreg: ["sreg", 16],
  creg: ["creg", 64],
  dreg: ["dreg", 64],
  sti: ["sti", 80],
  mm: ["mm", 64],
  mmrm: ["mmrm", 64],
  xmm: ["xmm", 128],
  xmmrm: ["xmmrm", 128],
  xmmv: ["xmmv", 128],
  xmmi: ["xmmi", 128],
  xmm0: ["xmm0", 128],
  ymm: ["xmm", 256],
  ymmrm: ["xmmrm", 256],
  ymmv: ["xmmv", 256],
  ymmi: ["xmmi", 256],
};
const VSIB = /^m(32|64)\[([xy])mm\]$/;

const IMPLIED = /^(st|[c-gs]s|(dst|src|table)[8v])$/;

/** Few notations serve all rows: each is read once. */
function once<T>(read: (text: string) => T): (text: string) => T {
  const known = new Map<string, T>();
  return (text) => {
    const before = known.get(text);
    if (before !== undefined) return before;
    const made = read(text);
    known.set(text, made);
    return made;
  };
}

const operand = once((text: string): OperandSpec => {
  const marked = /^(r|w|rw):(.*)$/.exec(text);
  const access = (marked?.[1] ?? "r") as Access;
  const name = marked?.[2] ?? text;
  const made = (kind: OperandKind, width: Width, register = 0): OperandSpec => ({
    text: name,
    kind,
    access,
    width,
    signed: name.startsWith("simm") || name === "immz" || kind === "rel",
    register,
  });
  const fixed = FIXED[name];
  if (fixed) return made("fixed", fixed[1], fixed[0]);
  const vsib = VSIB.exec(name);
  if (vsib) return made("vsib", Number(vsib[1]), vsib[2] === "y" ? 256 : 128);
  const plain = PLAIN[name];
  if (plain) return made(plain[0], plain[1]);
  for (const [pattern, kind] of PREFIXED) {
    const match = pattern.exec(name);
    if (!match) continue;
    const width = /^\d+$/.test(match[1]!) ? Number(match[1]) : (match[1] as Width);
    return made(kind, width);
  }
  throw new Error(`no operand kind ${text}`);
});

const attributesOf = once((text: string): Pick<Row, "attributes" | "features"> => {
  const words = text.split(/\s+/).filter(Boolean);
  return { attributes: new Set(words.filter((w) => FLAGS.has(w))), features: words.filter((w) => !FLAGS.has(w)) };
});

function implied(text: string): OperandSpec | ImpliedOperand {
  return IMPLIED.test(text) ? { kind: "implied", text } : operand(text);
}

function parse(mnemonic: string, meaning: Meaning, line: string): Row {
  const [encoding = "", operands = "", attributes = ""] = line.split("|").map((part) => part.trim());
  const texts = operands ? operands.split(",").map((text) => text.trim()) : [];
  const syntax = texts.map((text) => (text.startsWith("[") ? implied(text.slice(1, -1)) : operand(text)));
  const explicit = syntax.filter((_, i) => !texts[i]!.startsWith("[")) as OperandSpec[];
  const words = attributesOf(attributes);
  const row = {
    mnemonic,
    meaning,
    encoding,
    map: 0 as OpcodeMap,
    opcode: -1,
    prefix: undefined as Prefix | undefined,
    rexW: undefined as boolean | undefined,
    vex: false,
    vexL: undefined as 0 | 1 | undefined,
    plusR: false,
    modrm: false,
    digit: undefined as number | undefined,
    fixed: undefined as number | undefined,
    plusI: false,
    operands: explicit,
    syntax,
    ...words,
    sized:
      words.attributes.has("size") ||
      explicit.some((o) => typeof o.width === "string" || (o.kind === "imm" && o.signed)),
    id: -1,
  };
  for (const token of encoding.split(/\s+/)) {
    if (row.opcode < 0 && row.map === 0 && /^(NP|NFx|66|F3|F2)$/.test(token)) row.prefix = token as Prefix;
    else if (token === "REX.W") row.rexW = true;
    else if (token === "W0") row.rexW = false;
    else if (token.startsWith("VEX.")) {
      row.vex = true;
      for (const part of token.split(".")) {
        if (part === "0F") row.map = 1;
        else if (part === "0F38") row.map = 2;
        else if (part === "0F3A") row.map = 3;
        else if (part === "W0" || part === "W1") row.rexW = part === "W1";
        else if (part === "L0" || part === "128") row.vexL = 0;
        else if (part === "L1" || part === "256") row.vexL = 1;
        else if (part === "66" || part === "F2" || part === "F3" || part === "NP") row.prefix = part;
      }
    } else if (token === "/r") row.modrm = true;
    else if (/^\/[0-7]$/.test(token)) {
      row.modrm = true;
      row.digit = Number(token[1]);
    } else if (token === "+r") row.plusR = true;
    else if (/^[0-9A-F]{2}\+i$/.test(token)) {
      row.modrm = true;
      row.fixed = Number.parseInt(token, 16);
      row.plusI = true;
    } else if (/^[0-9A-F]{2}$/.test(token)) {
      const byte = Number.parseInt(token, 16);
      if (row.opcode >= 0) {
        row.modrm = true;
        row.fixed = byte;
      } else if (row.map === 0 && byte === 0x0f) row.map = 1;
      else if (row.map === 1 && !row.vex && byte === 0x38) row.map = 2;
      else if (row.map === 1 && !row.vex && byte === 0x3a) row.map = 3;
      else row.opcode = byte;
    } else throw new Error(`${mnemonic}: what is "${token}" in "${line}"?`);
  }
  if (row.opcode < 0) throw new Error(`${mnemonic}: no opcode in "${line}"`);
  return row;
}

/** Declares one instruction: its meaning and its encodings, a line each. Empty lines are skipped. */
export function insn(mnemonic: string, meaning: Meaning, encodings: string): Row[] {
  return encodings
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean)
    .map((line) => parse(mnemonic, meaning, line));
}
