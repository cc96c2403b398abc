/**
 * Handlers chosen by what comes after an instruction.
 *
 * Pairs run as one handler: a comparison or another instruction that sets flags, and the conditional branch after it. That
 * saves a dispatch, and the branch compares the operands instead of reading flags back (flags are stored all the same).
 *
 * Flagless handlers leave the flags alone: for an instruction whose flags the next one that could show them replaces.
 */
import type { ConditionCode } from "../../isa/context.ts";
import type { Row } from "../../isa/row.ts";
import type { Variant } from "../instruction-writer.ts";

/** Conditions worth a handler, in encoding order: after a comparison all but overflow and parity. */
const AFTER_COMPARISON: readonly ConditionCode[] = [2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14, 15];
const AFTER_TEST: readonly ConditionCode[] = [4, 5, 8, 9, 14, 15];
const AFTER_ARITHMETIC: readonly ConditionCode[] = [4, 5, 8, 9];

const FIRST: Readonly<Record<string, readonly ConditionCode[]>> = {
  CMP: AFTER_COMPARISON,
  TEST: AFTER_TEST,
  ADD: AFTER_ARITHMETIC,
  SUB: AFTER_ARITHMETIC,
  AND: AFTER_ARITHMETIC,
  OR: AFTER_ARITHMETIC,
  XOR: AFTER_ARITHMETIC,
  INC: AFTER_ARITHMETIC,
  DEC: AFTER_ARITHMETIC,
};

/** What an instruction means for the flags set before it. */
export type FlagEffect =
  /** It sets them all without looking at them, and cannot fault: nobody sees what they were. */
  | "replaces"
  /** It has nothing to do with them, and cannot fault. */
  | "neutral"
  /** It may look at them, or end where they show. */
  | "shows";

const REPLACES = new Set(["ADD", "SUB", "AND", "OR", "XOR", "CMP", "TEST", "NEG"]);
const SHIFTS = new Set(["SHL", "SHR", "SAR"]);
const NEUTRAL = new Set(["MOV", "MOVZX", "MOVSX", "MOVSXD", "LEA", "NOP", "BSWAP", "CDQE", "CWDE"]);

/** A shift by an immediate or by one: by zero it sets no flag. */
const shiftsByConstant = (row: Row) => SHIFTS.has(row.mnemonic) && row.operands[1]?.kind !== "fixed";

/** The effect of an instruction with register operands only; `immediate` as it is decoded. Reading memory may fault. */
export function effectOf(row: Row, addressing: Variant["addressing"], immediate: number): FlagEffect {
  if (row.mnemonic === "LEA") return "neutral";
  // A row with an attribute other than "lock" is no plain one: it may check, fault or end.
  if (addressing !== "none" || row.attributes.size > (row.attributes.has("lock") ? 1 : 0)) return "shows";
  if (REPLACES.has(row.mnemonic)) return "replaces";
  if (shiftsByConstant(row)) {
    return row.operands[1]!.kind === "one" || (immediate & 31) !== 0 ? "replaces" : "shows";
  }
  const general = row.operands.every((o) => o.kind === "reg" || o.kind === "rm" || o.kind === "imm");
  // A MOV to a segment register names it in its opcode alone.
  const segment = row.mnemonic === "MOV" && row.operands.length < 2;
  return NEUTRAL.has(row.mnemonic) && general && !segment ? "neutral" : "shows";
}

/** Has this variant a handler that leaves the flags alone? */
export function hasFlagless(v: Variant): boolean {
  if (v.addressing !== "none" || v.size === 16 || v.row.attributes.has("i64")) return false;
  return ["ADD", "SUB", "AND", "OR", "XOR"].includes(v.row.mnemonic) || shiftsByConstant(v.row);
}

/** A near jump or call to a computed address. */
export function isSwitch(row: Row): boolean {
  return (
    (row.mnemonic === "JMP" || row.mnemonic === "CALL") && row.attributes.has("f64") && row.operands[0]!.kind === "rm"
  );
}

/** Is this a Jcc? 70-7F with a short displacement, 0F 80-8F with a long one. */
export function isBranch(row: Row): boolean {
  return (row.map === 0 && (row.opcode & 0xf0) === 0x70) || (row.map === 1 && (row.opcode & 0xf0) === 0x80);
}

export const conditionOf = (row: Row): ConditionCode => (row.opcode & 15) as ConditionCode;

/** Conditions under which `v` may be the first of a pair. It must not write memory: its own branch could be what it changes. */
export function pairsWith(v: Variant): readonly ConditionCode[] {
  if (v.row.attributes.has("i64") || v.size === 16 || v.addressing === "checked") return [];
  const compares = v.row.mnemonic === "CMP" || v.row.mnemonic === "TEST";
  return v.addressing === "none" || compares ? (FIRST[v.row.mnemonic] ?? []) : [];
}
