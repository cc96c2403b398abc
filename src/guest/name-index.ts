/**
 * Finds entries of a large table by name without making strings of all names: a hash table of indices. Hashes are of bytes and
 * can be put together from those of parts, since kallsyms names are made of tokens.
 */

/** Two polynomial hashes of 32 bits side by side; equal ones are taken for equal names. */
export interface NameHash {
  readonly first: number;
  readonly second: number;
}
export const FIRST_FACTOR = 0x0100_0193;
export const SECOND_FACTOR = 0x85eb_ca6b | 0;

/** Steps of one search. Stops a guest whose names all have one hash from making each cost as much as the table is long. */
const MAX_STEPS = 64;
/** Slots for each name: the fuller a table, the longer its searches. */
const SLOTS_PER_NAME = 4;

export class NameIndex {
  readonly #slots: Int32Array;
  readonly #mask: number;
  readonly #first: Int32Array;
  readonly #second: Int32Array;

  /** For names with indices below `count`. */
  constructor(count: number) {
    let size = 16;
    while (size < count * SLOTS_PER_NAME) size *= 2;
    this.#slots = new Int32Array(size).fill(-1);
    this.#mask = size - 1;
    this.#first = new Int32Array(count);
    this.#second = new Int32Array(count);
  }

  /** Of names that are the same, the one added first is kept. */
  add(index: number, first: number, second: number): void {
    this.#first[index] = first;
    this.#second[index] = second;
    let slot = this.#start(first, second);
    for (let step = 0; step < MAX_STEPS; step++) {
      const other = this.#slots[slot]!;
      if (other < 0) {
        this.#slots[slot] = index;
        return;
      }
      if (this.#first[other] === first && this.#second[other] === second) return;
      slot = (slot + 1) & this.#mask;
    }
  }

  /** Whose name has these hashes, or -1. The caller compares the name itself. */
  find({ first, second }: NameHash): number {
    let slot = this.#start(first, second);
    for (let step = 0; step < MAX_STEPS; step++) {
      const index = this.#slots[slot]!;
      if (index < 0) return -1;
      if (this.#first[index] === first && this.#second[index] === second) return index;
      slot = (slot + 1) & this.#mask;
    }
    return -1;
  }

  #start(first: number, second: number): number {
    const mixed = Math.imul(first ^ (second >>> 15), 0x9e37_79b1);
    return (mixed ^ (mixed >>> 15)) & this.#mask;
  }
}

/** Hashes of a name whose characters are bytes. */
export function hashOf(name: string): NameHash {
  let first = 0;
  let second = 0;
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    first = (Math.imul(first, FIRST_FACTOR) + code) | 0;
    second = (Math.imul(second, SECOND_FACTOR) + code) | 0;
  }
  return { first, second };
}
