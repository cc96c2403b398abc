/** 256-bit maps of vectors (IRR, ISR, TMR): eight 32-bit words in an array of registers, from `base` on. */

export const hasVector = (words: readonly number[], base: number, vector: number): boolean =>
  ((words[base + (vector >> 5)]! >>> (vector & 31)) & 1) !== 0;

export function setVector(words: number[], base: number, vector: number): void {
  words[base + (vector >> 5)]! |= 1 << (vector & 31);
}

export function clearVector(words: number[], base: number, vector: number): void {
  words[base + (vector >> 5)]! &= ~(1 << (vector & 31));
}

/** The highest vector in the map, or -1. */
export function highestVector(words: readonly number[], base: number): number {
  for (let word = 7; word >= 0; word--) {
    const bits = words[base + word]!;
    if (bits !== 0) return word * 32 + 31 - Math.clz32(bits);
  }
  return -1;
}
