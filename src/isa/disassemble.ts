/**
 * Disassembler: a decoded instruction in Intel syntax. Operands, sizes and prefixes follow from the row and what the
 * decoder found.
 *
 * Conventions, those of Intel's XED: lower case, hexadecimal numbers, the size of every memory operand ("dword ptr"; none where the
 * operand is an address or an area), string operations with their operands. A prefix is written where it has an
 * effect that nothing else shows: lock, rep, "data16 push 0x1", "addr32 loop 0x10". Branches show their target.
 */
import { BASE_RIP, type Decoded, NO_REGISTER } from "./decode.ts";
import type { ImpliedOperand, OperandSpec, Row, Width } from "./row.ts";

/** What is not an instruction. */
export const BAD = "(bad)";

const REGISTERS = ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di"];
const HIGH_BYTES = ["ah", "ch", "dh", "bh"];
const SEGMENTS = ["es", "cs", "ss", "ds", "fs", "gs"];
const [SP, BP, SI, DI, BX] = [4, 5, 6, 7, 3];
const [SS, DS] = [2, 3];

/** Memory operands by their width in bits; areas and bare addresses have none. */
const POINTER: Record<number, string> = {
  8: "byte ptr ",
  16: "word ptr ",
  32: "dword ptr ",
  48: "fword ptr ",
  64: "qword ptr ",
  80: "tbyte ptr ",
  128: "xmmword ptr ",
  256: "ymmword ptr ",
};

/** Mnemonics that name the operand size: at 16, 32 and 64 bits. */
const BY_SIZE: Record<string, readonly [string, string, string]> = {
  CBW: ["cbw", "cwde", "cdqe"],
  CWD: ["cwd", "cdq", "cqo"],
  MOVS: ["movsw", "movsd", "movsq"],
  CMPS: ["cmpsw", "cmpsd", "cmpsq"],
  STOS: ["stosw", "stosd", "stosq"],
  LODS: ["lodsw", "lodsd", "lodsq"],
  SCAS: ["scasw", "scasd", "scasq"],
  INS: ["insw", "insd", "insd"],
  OUTS: ["outsw", "outsd", "outsd"],
  PUSHF: ["pushf", "pushfd", "pushfq"],
  POPF: ["popf", "popfd", "popfq"],
  PUSHA: ["pusha", "pushad", "pushad"],
  POPA: ["popa", "popad", "popad"],
  IRET: ["iret", "iretd", "iretq"],
  SYSRET: ["sysret", "sysret", "sysretq"],
  SYSEXIT: ["sysexit", "sysexit", "sysexitq"],
};
/** At 16, 32 and 64-bit address size. */
const BY_ADDRESS_SIZE: Record<string, readonly [string, string, string]> = { JCXZ: ["jcxz", "jecxz", "jrcxz"] };

/** Conditions that are more often written another way. */
const CONDITIONS: Record<string, string> = { NB: "ae", Z: "e", NZ: "ne", NBE: "a", NL: "ge", NLE: "g" };
const CONDITIONAL = /^(J|SET|CMOV|LOOP)(NB|Z|NZ|NBE|NL|NLE)$/;

/** The instruction at `rip` as text. */
export function disassemble(d: Decoded, rip: bigint): string {
  if (d.outcome !== "ok") return BAD;
  const operands = d.row.syntax
    .filter((o) => o.kind !== "xmm0" || o.access === "r")
    .map((o) => (o.kind === "implied" ? implied(o, d) : operand(o, d, rip)));
  return `${prefixes(d)}${mnemonic(d)}${operands.length > 0 ? " " : ""}${operands.join(", ")}`;
}

const sized = (names: readonly [string, string, string], size: 16 | 32 | 64) => names[size >> 5 === 2 ? 2 : size >> 5]!;

function mnemonic(d: Decoded): string {
  const { row } = d;
  const bySize = BY_SIZE[row.mnemonic];
  // SSE2 has a MOVSD and a CMPSD of its own; only rows of the string family have the short names.
  if (bySize) return sized(bySize, d.size);
  const byAddress = BY_ADDRESS_SIZE[row.mnemonic];
  if (byAddress) return sized(byAddress, d.addressSize);
  const condition = CONDITIONAL.exec(row.mnemonic);
  const name = condition ? condition[1] + CONDITIONS[condition[2]!]! : row.mnemonic;
  const far = row.operands.some((o) => o.kind === "farimm" || (o.kind === "farmem" && row.operands.length === 1));
  return name.toLowerCase() + (far ? " far" : "");
}

function prefixes(d: Decoded): string {
  const { row } = d;
  let text = d.lock ? "lock " : "";
  if (row.attributes.has("rep") && d.rep !== "none") {
    const compares = /^(CMPS|SCAS)/.test(row.mnemonic);
    text += d.rep === "repne" ? "repne " : compares ? "repe " : "rep ";
  }
  const usual = d.codeBits !== 64 ? d.codeBits : row.attributes.has("d64") || row.attributes.has("f64") ? 64 : 32;
  // Of what shows no size, only far returns have a 64-bit form.
  const size = d.size === 64 && row.mnemonic !== "RETF" ? usual : d.size;
  if (size !== usual && row.sized && !showsSize(d)) text += `data${d.size} `;
  if (d.addressSize !== d.codeBits && row.attributes.has("asize") && !showsAddressSize(row)) {
    text += `addr${d.addressSize} `;
  }
  return text;
}

function showsSize(d: Decoded): boolean {
  if (d.row.mnemonic in BY_SIZE) return true;
  return d.row.syntax.some((o) => {
    if (o.kind === "implied") return o.text.endsWith("v");
    return typeof o.width === "string" && !["imm", "rel", "farimm"].includes(o.kind);
  });
}

const showsAddressSize = (row: Row): boolean =>
  row.mnemonic in BY_ADDRESS_SIZE || row.syntax.some((o) => o.kind === "implied" && /^(dst|src|table)/.test(o.text));

function operand(o: OperandSpec, d: Decoded, rip: bigint): string {
  const width = widthOf(o.width, d);
  switch (o.kind) {
    case "reg":
      return general(d.row.plusR ? d.opcodeReg : d.reg, width, d);
    case "rm":
      return d.isMemory ? memory(width, d) : general(d.rm, width, d);
    case "rmreg":
      return general(d.rm, width, d);
    case "vvvv":
      return general(d.vvvv, width, d);
    case "fixed":
      return general(o.register, width, d);
    case "mem":
    case "moffs":
      return memory(width, d);
    case "farmem":
      return memory(d.size + 16, d);
    case "farimm":
      return `0x${(d.immediateLow >>> 0).toString(16)}, 0x${d.immediateHigh.toString(16)}`;
    case "one":
      return "0x1";
    case "imm":
      return hex(immediateOf(o, d), o.signed ? d.size : width);
    case "rel":
      return hex(rip + BigInt(d.length) + immediateOf(o, d), d.size);
    case "sreg":
      return SEGMENTS[d.reg] ?? BAD;
    case "creg":
      return `cr${d.reg}`;
    case "dreg":
      return `dr${d.reg}`;
    case "sti":
      return `st(${d.rm & 7})`;
    case "mm":
      return `mm${d.reg & 7}`;
    case "mmm":
    case "mmrm":
      return d.isMemory ? memory(width, d) : `mm${d.rm & 7}`;
    case "xmm":
      return vector(d.reg, width);
    case "xmmm":
    case "xmmrm":
      return d.isMemory ? memory(width, d) : vector(d.rm, width);
    case "xmmv":
      return vector(d.vvvv, width);
    case "xmmi":
      return vector(d.is4, width);
    case "vsib":
      return memory(width, d);
    case "xmm0":
      return "xmm0";
  }
}

const vector = (number: number, width: number): string => `${width === 256 ? "ymm" : "xmm"}${number}`;

function implied(o: ImpliedOperand, d: Decoded): string {
  const string = /^(dst|src|table)(8|v)$/.exec(o.text);
  if (!string) return o.text;
  const pointer = POINTER[string[2] === "8" ? 8 : elementSize(d)]!;
  const base = string[1] === "dst" ? DI : string[1] === "src" ? SI : BX;
  // The destination is always at ES: no prefix changes that.
  const segment = string[1] === "dst" || d.override < 0 || d.override === DS ? "" : `${SEGMENTS[d.override]}:`;
  return `${pointer}${segment}[${general(base, d.addressSize, d)}]`;
}

/** INS and OUTS have no 64-bit form. */
const elementSize = (d: Decoded): number => (/^(INS|OUTS)/.test(d.row.mnemonic) ? Math.min(d.size, 32) : d.size);

function widthOf(width: Width, d: Decoded): number {
  if (width === "v") return d.size;
  if (width === "y") return d.size === 64 ? 64 : 32;
  if (width === "z") return d.size === 16 ? 16 : 32;
  return width;
}

/** Register numbers in immediates go by order: the second immediate is always a byte (ENTER). */
function immediateOf(o: OperandSpec, d: Decoded): bigint {
  const first = d.row.operands.find((other) => other.kind === "imm" || other.kind === "rel");
  if (o !== first) return BigInt(d.immediate2);
  return (BigInt(d.immediateHigh) << 32n) | BigInt(d.immediateLow >>> 0);
}

function general(number: number, width: number, d: Decoded): string {
  if (width === 8) {
    if (number >= 8) return `r${number}b`;
    if (number >= 4) return d.rex !== 0 ? `${REGISTERS[number]}l` : HIGH_BYTES[number - 4]!;
    return `${REGISTERS[number]![0]}l`;
  }
  if (number >= 8) return `r${number}${width === 64 ? "" : width === 32 ? "d" : "w"}`;
  return (width === 64 ? "r" : width === 32 ? "e" : "") + REGISTERS[number]!;
}

function memory(width: number, d: Decoded): string {
  const usual = d.base === SP || d.base === BP ? SS : DS;
  const other = d.override >= 0 && d.override !== usual && d.row.mnemonic !== "LEA";
  return `${POINTER[width] ?? ""}${other ? `${SEGMENTS[d.override]}:` : ""}[${address(d)}]`;
}

function address(d: Decoded): string {
  if (d.row.operands.some((o) => o.kind === "moffs")) {
    return hex((BigInt(d.immediateHigh) << 32n) | BigInt(d.immediateLow >>> 0), d.addressSize);
  }
  const parts: string[] = [];
  if (d.base === BASE_RIP) parts.push(d.addressSize === 32 ? "eip" : "rip");
  else if (d.base !== NO_REGISTER) parts.push(general(d.base, d.addressSize, d));
  if (d.index !== NO_REGISTER) {
    const scale = d.scale > 0 || parts.length === 0 ? `*${1 << d.scale}` : "";
    const vsib = d.row.operands.find((o) => o.kind === "vsib");
    parts.push((vsib ? vector(d.index, vsib.register) : general(d.index, d.addressSize, d)) + scale);
  }
  if (parts.length === 0) return hex(BigInt(d.displacement), d.addressSize);
  const sign = d.displacement < 0 ? "-" : "+";
  const displacement = d.displacement === 0 ? "" : `${sign}0x${Math.abs(d.displacement).toString(16)}`;
  return parts.join("+") + displacement;
}

const hex = (value: bigint, bits: number): string => `0x${BigInt.asUintN(bits, value).toString(16)}`;
