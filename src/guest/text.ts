/**
 * Text from a guest. Its bytes are UTF-8 by custom alone, so a byte that is none becomes the lone surrogate U+DC80 +
 * (byte - 0x80), as Python's "surrogateescape" has it: nothing is lost, and JSON stays valid. Not fit for a terminal:
 * see escape.ts.
 */

/**
 * Bytes that a sequence has by its first one, and the smallest code point that needs them (Unicode 15.0, table 3-7).
 */
function sequence(first: number): { length: number; least: number; bits: number } | undefined {
  if (first >= 0xc2 && first < 0xe0) return { length: 2, least: 0x80, bits: first & 0x1f };
  if (first >= 0xe0 && first < 0xf0) return { length: 3, least: 0x800, bits: first & 0x0f };
  if (first >= 0xf0 && first < 0xf5) return { length: 4, least: 0x1_0000, bits: first & 0x07 };
  return undefined;
}

/** Text of bytes that come one to a UTF-16 unit, as `AddressSpace.text` gives them. */
export function decodeText(latin1: string): string {
  let plain = 0;
  while (plain < latin1.length && latin1.charCodeAt(plain) < 0x80) plain++;
  if (plain === latin1.length) return latin1;
  let text = latin1.slice(0, plain);
  for (let at = plain; at < latin1.length; ) {
    const first = latin1.charCodeAt(at);
    const code = first < 0x80 ? first : codePoint(latin1, at, first);
    if (code < 0) {
      text += String.fromCharCode(0xdc00 + (first & 0xff));
      at++;
    } else {
      text += String.fromCodePoint(code);
      at += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x1_0000 ? 3 : 4;
    }
  }
  return text;
}

/** The code point whose sequence begins at `at`, or -1. */
function codePoint(latin1: string, at: number, first: number): number {
  const kind = sequence(first);
  if (!kind || at + kind.length > latin1.length) return -1;
  let code = kind.bits;
  for (let i = 1; i < kind.length; i++) {
    const next = latin1.charCodeAt(at + i);
    if ((next & 0xc0) !== 0x80) return -1;
    code = (code << 6) | (next & 0x3f);
  }
  return code < kind.least || code > 0x10_ffff || (code >= 0xd800 && code < 0xe000) ? -1 : code;
}

/** The bytes that `decodeText` makes this text of, one to a UTF-16 unit. */
export function encodeText(text: string): string {
  let latin1 = "";
  for (const character of text) {
    const code = character.codePointAt(0)!;
    if (code < 0x80) latin1 += character;
    else if (code >= 0xdc80 && code < 0xdd00) latin1 += String.fromCharCode(code - 0xdc00);
    else if (code < 0x800) latin1 += String.fromCharCode(0xc0 | (code >> 6), 0x80 | (code & 0x3f));
    else if (code < 0x1_0000)
      latin1 += String.fromCharCode(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 0x3f), 0x80 | (code & 0x3f));
    else
      latin1 += String.fromCharCode(
        0xf0 | (code >> 18),
        0x80 | ((code >> 12) & 0x3f),
        0x80 | ((code >> 6) & 0x3f),
        0x80 | (code & 0x3f),
      );
  }
  return latin1;
}

/** Bytes as text. */
export function decodeBytes(bytes: Uint8Array): string {
  let latin1 = "";
  for (let at = 0; at < bytes.length; at += 4096) latin1 += String.fromCharCode(...bytes.subarray(at, at + 4096));
  return decodeText(latin1);
}
