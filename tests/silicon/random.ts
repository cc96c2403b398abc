/** Pseudo-random numbers that a name decides, so that a row's inputs stay the same whatever rows come or go beside it. */

/** FNV-1a. */
export function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h >>> 0;
}

export class Random {
  #a: number;
  #b: number;
  constructor(seed: string) {
    this.#a = hash(seed) | 1;
    this.#b = hash(`${seed}.`) | 1;
    for (let i = 0; i < 4; i++) this.word();
  }
  /** 32 bits (xorshift64 by halves would be linear between them: two xorshift32 of different shifts, added). */
  word(): number {
    let a = this.#a;
    a ^= a << 13;
    a ^= a >>> 17;
    a ^= a << 5;
    this.#a = a;
    let b = this.#b;
    b ^= b << 7;
    b ^= b >>> 1;
    b ^= b << 9;
    this.#b = b;
    return (a + b) >>> 0;
  }
  below(limit: number): number {
    return Math.floor((this.word() / 0x1_0000_0000) * limit);
  }
  /** True once in `times`. */
  one(times: number): boolean {
    return this.below(times) === 0;
  }
  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }
  big(): bigint {
    return (BigInt(this.word()) << 32n) | BigInt(this.word());
  }
}
