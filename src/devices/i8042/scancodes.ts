/**
 * From scan code set 2, which keyboards send, to set 1, which PC software expects: what the controller does
 * to every byte while its command byte says "translate" (PS/2 Technical Reference, "Scan Code Translation").
 */
const TABLE = Uint8Array.from(
  `ff 43 41 3f 3d 3b 3c 58 64 44 42 40 3e 0f 29 59
   65 38 2a 70 1d 10 02 5a 66 71 2c 1f 1e 11 03 5b
   67 2e 2d 20 12 05 04 5c 68 39 2f 21 14 13 06 5d
   69 31 30 23 22 15 07 5e 6a 72 32 24 16 08 09 5f
   6b 33 25 17 18 0b 0a 60 6c 34 35 26 27 19 0c 61
   6d 73 28 74 1a 0d 62 6e 3a 36 1c 1b 75 2b 63 76
   55 56 77 78 79 7a 0e 7b 7c 4f 7d 4b 47 7e 7f 6f
   52 53 50 4c 4d 48 01 45 57 4e 51 4a 37 49 46 54`
    .split(/\s+/)
    .map((byte) => Number.parseInt(byte, 16)),
);

/** F7 and Alt+SysRq are the only keys whose set 2 code has bit 7. */
const HIGH: Readonly<Record<number, number>> = { 131: 0x41, 132: 0x54 };

/** Set 2 says "released" with a byte before the code, set 1 with bit 7 of the code. */
export const RELEASE_PREFIX = 0xf0;
export const EXTENDED_PREFIX = 0xe0;
const RELEASED = 0x80;

/** One byte after the release prefix, if there was one. Prefixes and answers of the keyboard pass. */
export const translate = (byte: number, released: boolean): number =>
  (TABLE[byte] ?? HIGH[byte] ?? byte) | (released ? RELEASED : 0);

export const translateAll = (codes: readonly number[]): number[] => {
  const out: number[] = [];
  let released = false;
  for (const code of codes) {
    if (code === RELEASE_PREFIX) released = true;
    else {
      out.push(translate(code, released));
      released = false;
    }
  }
  return out;
};
