/**
 * The VEX forms of SSE rows (SDM vol. 2, 2.3 and the tables of each instruction). Encoding, operands and meaning follow from the
 * row; what does not is a rule by mnemonic.
 */
import type { Meaning } from "../context.ts";
import { insn, type OperandSpec, type Row } from "../row.ts";
import { bothLanes, nondestructive } from "./lanes.ts";

export interface Rule {
  /** Lengths there are, where they do not follow from the operands. */
  readonly lengths?: readonly Length[];
  readonly w?: "W0" | "W1" | "WIG";
  /** Another opcode, as "0F3A 4C". */
  readonly opcode?: string;
  /** Where VEX forms do more than the SSE one. */
  readonly meaning?: Meaning;
  /** Operands of the 256-bit form that are not the same with YMM for XMM. */
  readonly operands256?: string;
  /** The SSE row's destination is an operand by name only. */
  readonly unary?: boolean;
  /** The source stays at 128 bits: a count for all lanes. */
  readonly sharedSource?: boolean;
  /** The upper lane has the immediate from this bit on. */
  readonly immediateBits?: number;
  readonly maskBits?: number;
  /** The meaning knows 256 bits itself. */
  readonly wide?: boolean;
}

type Length = "128" | "256" | "LIG" | "LZ";

const MAPS = ["", "0F", "0F38", "0F3A"];
/** One lane, whatever VEX.L says. */
const SCALAR = /^(?!P).*(SS|SD)($|2)|^CVTSI2|2SI$/;
/** Moves that need alignment with VEX too. */
const ALIGNED = /^MOV(AP|DQA|NT)/;
/** Integer instructions have 256 bits from AVX2 on. */
const AVX2 = /^P(?!TEST)|^MPSADBW|^MOVNTDQA/;
/** SSE features that AVX includes. */
const INCLUDED = /^sse|^ssse/;

const isVector = (o: OperandSpec): boolean => /^[xy]mm/.test(o.text);

function lengthsOf(row: Row, rule: Rule): readonly Length[] {
  if (rule.lengths) return rule.lengths;
  if (SCALAR.test(row.mnemonic)) return ["LIG"];
  // Single lanes, halves and what has no source as wide as the register.
  const packed = row.operands.every((o) => !isVector(o) || o.width === 128) && row.operands.some(isVector);
  const narrow = row.operands.some((o) => ["mem", "rm", "rmreg"].includes(o.kind) && o.width !== 128);
  return packed && !narrow ? ["128", "256"] : ["128"];
}

const widened = (text: string): string =>
  text
    .replace(/\bxmmm128$/, "ymmm256")
    .replace(/\bm128$/, "m256")
    .replace(/\bxmm(?=$|rm|v|i)/, "ymm");

function form(row: Row, length: Length, rule: Rule): Row[] {
  const wide = length === "256";
  const [dst] = row.operands;
  const merges = dst!.access === "rw" && !rule.unary;
  // Shifts by an immediate have their destination in VEX.vvvv, and in ModRM.rm the source.
  const inVvvv = merges && row.digit !== undefined;
  const texts = row.operands.map(
    (o) => (o.access === "r" ? "" : "w:") + (o.text === "xmm0" && o.access === "r" ? "xmmi" : o.text),
  );
  if (inVvvv) texts.splice(0, 1, "w:xmmv", dst!.text);
  else if (merges) texts.splice(1, 0, "xmmv");
  const list = !wide
    ? texts
    : (rule.operands256?.split(", ") ?? texts.map((t) => (rule.sharedSource && t === "xmmm128" ? t : widened(t))));
  const features = [
    wide && AVX2.test(row.mnemonic) ? "avx2" : "avx",
    ...row.features.filter((name) => !INCLUDED.test(name)),
  ];
  const attributes = [...row.attributes].filter((name) => name !== "unaligned");
  if (!ALIGNED.test(row.mnemonic)) attributes.push("unaligned");
  const w = rule.w ?? (row.rexW === undefined ? "WIG" : row.rexW ? "W1" : "W0");
  const [map, opcode] = (
    rule.opcode ?? `${MAPS[row.map]} ${row.opcode.toString(16).padStart(2, "0").toUpperCase()}`
  ).split(" ");
  const modrm = row.digit === undefined ? "/r" : `/${row.digit}`;
  let meaning = rule.meaning ?? row.meaning;
  if (wide && !rule.wide) {
    const bits = row.operands.map((o) => o.width as number);
    meaning = bothLanes(meaning, { ...rule, bits });
  }
  if (merges) meaning = nondestructive(meaning);
  return insn(
    `V${row.mnemonic}`,
    meaning,
    `VEX.${length}.${row.prefix}.${map}.${w} ${opcode} ${modrm} | ${list.join(", ")} | ${[...attributes, ...features].join(" ")}`,
  );
}

/** The VEX forms of those of `rows` that work on XMM registers alone. */
export function vexForms(rows: readonly Row[], rules: Readonly<Record<string, Rule>>, without: RegExp): Row[] {
  return rows
    .filter((row) => row.attributes.has("sse") && !row.attributes.has("mmx") && !without.test(row.mnemonic))
    .flatMap((row) => {
      const rule = rules[row.mnemonic] ?? {};
      return lengthsOf(row, rule).flatMap((length) => form(row, length, rule));
    });
}
