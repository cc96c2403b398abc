/**
 * The one part of kallsyms that can be told among other bytes: 256 strings, each ended by a NUL, in which the ten digits stand for
 * themselves, followed by the offset of each.
 */
import { type Gpa, gpa } from "../../base/index.ts";
import type { PhysicalMemory } from "../memory.ts";
import type { SearchBudget } from "../search-budget.ts";

export const TOKENS = 256;
/** KSYM_NAME_LEN since 6.1: no token is longer than a name. Stops a name of many megabytes. */
export const MAX_NAME = 512;
/** Real ones have about 1 KiB. token_index has 16 bits for an offset. */
const MAX_TOKEN_TABLE = 16 * 1024;
/** token_index lies at most this far behind the strings: alignment. */
const ALIGNMENT = 8;
/** Bytes in front of the table, of data that ended without a NUL, that may be taken for its first token's. */
const MAX_STRAY = 512;

const DIGITS = "0123456789";
const FIRST_DIGIT = DIGITS.charCodeAt(0);
const PATTERN = Uint8Array.from([...DIGITS].flatMap((digit) => [digit.charCodeAt(0), 0]));

export interface TokenTable {
  readonly start: Gpa;
  /** Of token_index, and so of the whole. */
  readonly end: Gpa;
  readonly tokens: readonly string[];
}

/** Every token table in a run of RAM that is whole, by address. */
export function* tokenTables(memory: PhysicalMemory, from: Gpa, end: Gpa, budget: SearchBudget): Generator<TokenTable> {
  for (let next: number = from; ; ) {
    const at = memory.find(PATTERN, gpa(next), end);
    if (at < 0 || !budget.spend("places")) return;
    const table = tableAround(memory, gpa(at), from, end);
    if (table) yield table;
    next = at + PATTERN.length;
  }
}

/** The table whose token "0" begins at `digits`. */
function tableAround(memory: PhysicalMemory, digits: Gpa, from: Gpa, end: Gpa): TokenTable | undefined {
  const start = Math.max(from, digits - MAX_TOKEN_TABLE - MAX_STRAY);
  const all = memory.copy(gpa(start), Math.min(end, digits + MAX_TOKEN_TABLE + ALIGNMENT + 2 * TOKENS) - start);
  // Back over the strings in front, to the NUL that ends what comes before them or to padding.
  let first = digits - start;
  for (let strings = 0; strings < FIRST_DIGIT; strings++) {
    if (first <= 0 || all[first - 1] !== 0) return undefined;
    first--;
    while (first > 0 && all[first - 1] !== 0) first--;
  }
  // What comes before may end without one: then the table begins at a label behind it.
  const label = Math.ceil((start + first) / ALIGNMENT) * ALIGNMENT - start;
  for (let at = label; at <= label + MAX_STRAY && at < digits - start; at += ALIGNMENT) {
    const table = tableAt(all, at);
    if (table) return { start: gpa(start + at), end: gpa(start + table.end), tokens: table.tokens };
  }
  return undefined;
}

/** The table at the label `at`. */
function tableAt(bytes: Uint8Array, at: number): { tokens: string[]; end: number } | undefined {
  const tokens: string[] = [];
  const offsets: number[] = [];
  let next = at;
  for (let token = 0; token < TOKENS; token++) {
    offsets.push(next - at);
    const stop = bytes.indexOf(0, next);
    if (stop < 0 || stop - next > MAX_NAME) return undefined;
    tokens.push(String.fromCharCode(...bytes.subarray(next, stop)));
    next = stop + 1;
  }
  for (const digit of DIGITS) if (tokens[digit.charCodeAt(0)] !== digit) return undefined;
  const index = at + Math.ceil((next - at) / ALIGNMENT) * ALIGNMENT;
  if (index + 2 * TOKENS > bytes.length) return undefined;
  for (let token = 0; token < TOKENS; token++) {
    if ((bytes[index + 2 * token]! | (bytes[index + 2 * token + 1]! << 8)) !== offsets[token]) return undefined;
  }
  return { tokens, end: index + 2 * TOKENS };
}
