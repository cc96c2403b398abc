/**
 * The names of kallsyms, as they are in memory: for each symbol a length and that many token numbers. The first character that they
 * stand for is the type. One pass says where each begins; strings are made when someone asks.
 */
import { sameBytes } from "../memory.ts";
import { FIRST_FACTOR, hashOf, NameIndex, SECOND_FACTOR } from "../name-index.ts";
import type { LengthForm } from "./layouts.ts";
import { MAX_NAME, TOKENS } from "./token-table.ts";

/** Names between two markers. */
export const MARKER_STEP = 256;

/** A token's share of a name's hash: times `factor`, plus `sum`. */
interface TokenHashes {
  readonly firstFactor: Int32Array;
  readonly firstSum: Int32Array;
  readonly secondFactor: Int32Array;
  readonly secondSum: Int32Array;
}

export class CompressedNames {
  readonly count: number;
  readonly #bytes: Uint8Array;
  readonly #tokens: readonly string[];
  readonly #form: LengthForm;
  readonly #starts: Uint32Array;
  readonly #types: Uint8Array;
  #index: NameIndex | undefined;

  private constructor(
    bytes: Uint8Array,
    tokens: readonly string[],
    form: LengthForm,
    starts: Uint32Array,
    types: Uint8Array,
  ) {
    this.count = starts.length;
    this.#bytes = bytes;
    this.#tokens = tokens;
    this.#form = form;
    this.#starts = starts;
    this.#types = types;
  }

  /** These are the bytes and tokens that it was read from. */
  isOf(bytes: Uint8Array, tokens: readonly string[]): boolean {
    return (
      sameBytes(this.#bytes, bytes.subarray(0, this.#bytes.length)) &&
      this.#tokens.every((token, index) => token === tokens[index])
    );
  }

  /** `markers`: where every 256th of the names begins. Undefined where the bytes do not agree with them. */
  static read(
    bytes: Uint8Array,
    count: number,
    markers: ArrayLike<number>,
    tokens: readonly string[],
    form: LengthForm,
  ): CompressedNames | undefined {
    const starts = new Uint32Array(count);
    const types = new Uint8Array(count);
    const firsts = Uint8Array.from({ length: TOKENS }, (_, token) => tokens[token]!.charCodeAt(0));
    const two = form === "uleb128";
    let at = 0;
    for (let i = 0; i < count; i++) {
      if ((i & (MARKER_STEP - 1)) === 0 && at !== markers[i / MARKER_STEP]) return undefined;
      if (at + 2 > bytes.length) return undefined;
      starts[i] = at;
      let length = bytes[at++]!;
      if (two && (length & 0x80) !== 0) length = (length & 0x7f) | (bytes[at++]! << 7);
      if (length === 0 || length > MAX_NAME || at + length > bytes.length) return undefined;
      types[i] = firsts[bytes[at]!]!;
      at += length;
    }
    // A copy of no more than the names.
    return new CompressedNames(bytes.slice(0, at), tokens, form, starts, types);
  }

  /** As nm writes it: T, t, D, …; 0 where the guest wrote none. */
  typeCode(index: number): number {
    return this.#types[index]!;
  }
  type(index: number): string {
    return String.fromCharCode(this.#types[index]!);
  }

  /** The name, as Latin-1: not fit for a terminal as it is. */
  name(index: number): string {
    const [start, end] = this.#tokensOf(index);
    let name = "";
    for (let at = start; at < end && name.length <= MAX_NAME; at++) name += this.#tokens[this.#bytes[at]!]!;
    return name.slice(1, MAX_NAME);
  }

  /** Of the symbols with this name the first, or -1. */
  indexOf(name: string): number {
    this.#index ??= this.#hashAll();
    const index = this.#index.find(hashOf(name));
    return index >= 0 && this.name(index) === name ? index : -1;
  }

  #tokensOf(index: number): [start: number, end: number] {
    let at = this.#starts[index]!;
    let length = this.#bytes[at++]!;
    if (this.#form === "uleb128" && (length & 0x80) !== 0) length = (length & 0x7f) | (this.#bytes[at++]! << 7);
    return [at, at + length];
  }

  #hashAll(): NameIndex {
    const index = new NameIndex(this.count);
    const all = tokenHashes(this.#tokens);
    // Of a name's first token all but the type.
    const rest = tokenHashes(this.#tokens.map((token) => token.slice(1)));
    const bytes = this.#bytes;
    const two = this.#form === "uleb128";
    const { firstFactor, firstSum, secondFactor, secondSum } = all;
    for (let i = 0; i < this.count; i++) {
      let start = this.#starts[i]!;
      let length = bytes[start++]!;
      if (two && (length & 0x80) !== 0) length = (length & 0x7f) | (bytes[start++]! << 7);
      const end = start + length;
      const token = bytes[start]!;
      let first = rest.firstSum[token]!;
      let second = rest.secondSum[token]!;
      for (let at = start + 1; at < end; at++) {
        const token = bytes[at]!;
        first = (Math.imul(first, firstFactor[token]!) + firstSum[token]!) | 0;
        second = (Math.imul(second, secondFactor[token]!) + secondSum[token]!) | 0;
      }
      index.add(i, first, second);
    }
    return index;
  }
}

function tokenHashes(tokens: readonly string[]): TokenHashes {
  const firstFactor = new Int32Array(TOKENS);
  const firstSum = new Int32Array(TOKENS);
  const secondFactor = new Int32Array(TOKENS);
  const secondSum = new Int32Array(TOKENS);
  tokens.forEach((token, i) => {
    const { first, second } = hashOf(token);
    firstSum[i] = first;
    secondSum[i] = second;
    firstFactor[i] = power(FIRST_FACTOR, token.length);
    secondFactor[i] = power(SECOND_FACTOR, token.length);
  });
  return { firstFactor, firstSum, secondFactor, secondSum };
}

function power(factor: number, exponent: number): number {
  let result = 1;
  for (let i = 0; i < exponent; i++) result = Math.imul(result, factor);
  return result;
}
