/**
 * Pairs of instructions that run as one handler: a comparison or another instruction that sets flags, and the conditional branch after
 * it. That saves a dispatch, and the branch compares the operands instead of reading flags back (flags are stored all the same).
 */
import type { ConditionCode } from "../../isa/context.ts";
import type { Row } from "../../isa/row.ts";
import type { Variant } from "./handler.ts";

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
