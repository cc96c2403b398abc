/**
 * State fields that copied code has in locals: what has been read or written once in a block is not loaded again. General registers and
 * flags that are set wait there until control leaves, or ways meet; all else goes to the state at once as well.
 */
import type { ValType } from "../../wasm/index.ts";
import { fieldOf, GPR_NAMES, offsetOf } from "../state.ts";

interface CachedField {
  readonly offset: number;
  readonly type: "i32" | "i64" | "v128";
  readonly local: number;
}

/** Record and budget come before all locals. */
export const PARAMETERS = 2;
/** Locals for temporaries: integers in turns, then vectors are cached, then all other types. Most functions need few. */
const INTEGERS = 48;
const OTHERS = 36;
const MAX_LOCALS = 400;

const SCALARS = [
  ...GPR_NAMES,
  "zero",
  "ripPage",
  "fs.base",
  "gs.base",
  "flagResult",
  "flagCarry",
  "flagMisc",
  "dataTlb",
] as const;
/** Host addresses of earlier accesses, of which later ones may make use; the last is for those that nobody wants. */
export const HOSTS = { first: PARAMETERS + SCALARS.length, kept: 6 } as const;
const FIRST_TEMPORARY = HOSTS.first + HOSTS.kept + 1;
const FIRST_VECTOR = FIRST_TEMPORARY + INTEGERS;
const VECTORS = 16;
const YMM_STRIDE = 32;

/** By number: general registers first, vectors last. */
export const CACHED: readonly CachedField[] = [
  ...SCALARS.map((name, i) => ({
    offset: offsetOf(name),
    type: fieldOf(name).type as "i32" | "i64",
    local: PARAMETERS + i,
  })),
  ...Array.from({ length: VECTORS }, (_, i) => ({
    offset: offsetOf("ymm0") + i * YMM_STRIDE,
    type: "v128" as const,
    local: FIRST_VECTOR + i,
  })),
];
/** The number of a cached field, by its name; -1 for all others. */
export const cachedField = (name: string): number => (SCALARS as readonly string[]).indexOf(name);
export const ZERO_FIELD = cachedField("zero");
export const FIRST_CACHED_VECTOR = SCALARS.length;

/** Kinds of fields that a runtime function may change, as a bit mask; and the fields of each. */
export const CLASS = { registers: 1, flags: 2, tlb: 4, vectors: 8 } as const;
const isFlag = (name: string) => name.startsWith("flag");
const MEMBERS: Readonly<Record<keyof typeof CLASS, readonly number[]>> = {
  registers: SCALARS.flatMap((name, i) => (isFlag(name) || name === "dataTlb" || name === "zero" ? [] : [i])),
  flags: SCALARS.flatMap((name, i) => (isFlag(name) ? [i] : [])),
  tlb: [cachedField("dataTlb")],
  vectors: Array.from({ length: VECTORS }, (_, i) => FIRST_CACHED_VECTOR + i),
};
export const classOf = (field: number): number => {
  for (const [name, members] of Object.entries(MEMBERS)) {
    if (members.includes(field)) return CLASS[name as keyof typeof CLASS];
  }
  return 0;
};

/** Kinds of fields that what is set may wait in its local, to be stored where control leaves or ways meet: all but what is always up to date. */
export const WAITING = CLASS.registers | CLASS.flags;
const FIELDS_THAT_WAIT = SCALARS.map((name) => GPR_NAMES.includes(name) || isFlag(name));
export const mayWait = (field: number): boolean => FIELDS_THAT_WAIT[field] ?? false;
/** Those that may wait among the first `count` of some fields, as a bit mask. */
export function waitingAmong(fields: readonly number[], count = fields.length): number {
  let mask = 0;
  for (let i = 0; i < count; i++) if (mayWait(fields[i]!)) mask |= 1 << fields[i]!;
  return mask;
}

/** By offset in the state: the number of the cached field that lies there. */
const BY_OFFSET = new Map(CACHED.map(({ offset }, number) => [offset, number]));
const FIRST_GPR = offsetOf("rax");
/** The number of the field at an offset; AH, CH, DH and BH are part of their registers. */
export function fieldAt(offset: number): number {
  const register = (offset - FIRST_GPR) >> 3;
  if (register >= 0 && register < GPR_NAMES.length) return register;
  const found = BY_OFFSET.get(offset);
  if (found === undefined) throw new Error(`no cached field at ${offset}`);
  return found;
}

const OTHER_TYPES: readonly ValType[] = ["v128", "f64", "f32"];
const FIRST_OTHER = FIRST_VECTOR + VECTORS;
/** Type of the local with an index. */
export function localType(index: number): ValType {
  if (index < HOSTS.first) return CACHED[index - PARAMETERS]!.type;
  if (index < FIRST_TEMPORARY) return "i32";
  if (index < FIRST_VECTOR) return (index - FIRST_TEMPORARY) % 2 === 0 ? "i32" : "i64";
  if (index < FIRST_OTHER) return "v128";
  if (index < FIRST_OTHER + OTHERS) return OTHER_TYPES[(index - FIRST_OTHER) % OTHER_TYPES.length]!;
  return index % 2 === 0 ? "i32" : "i64";
}

/** The next local for a temporary of a type, from `index` on; undefined where there is none. */
export function temporaryFrom(index: number, type: ValType): number | undefined {
  for (let i = Math.max(index, FIRST_TEMPORARY); i < MAX_LOCALS; i++) {
    if (i >= FIRST_VECTOR && i < FIRST_OTHER) continue;
    if (localType(i) === type) return i;
  }
  return undefined;
}
