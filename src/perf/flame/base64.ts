/** Bytes as base64 (RFC 4648), piece by piece. */
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const CODES = Uint8Array.from(ALPHABET, (c) => c.charCodeAt(0));
const PADDING = 0x3d;

/** Bytes that become one string: a multiple of three, and no more characters than a call takes as arguments. */
const CHUNK = 3 * 0x2000;

export function* base64(bytes: Uint8Array): Generator<string> {
  for (let start = 0; start < bytes.length; start += CHUNK) {
    const end = Math.min(start + CHUNK, bytes.length);
    const codes = new Uint8Array(Math.ceil((end - start) / 3) * 4);
    for (let from = start, to = 0; from < end; from += 3, to += 4) {
      const word = (bytes[from]! << 16) | ((bytes[from + 1] ?? 0) << 8) | (bytes[from + 2] ?? 0);
      codes[to] = CODES[word >> 18]!;
      codes[to + 1] = CODES[(word >> 12) & 63]!;
      codes[to + 2] = from + 1 < end ? CODES[(word >> 6) & 63]! : PADDING;
      codes[to + 3] = from + 2 < end ? CODES[word & 63]! : PADDING;
    }
    yield String.fromCharCode(...codes);
  }
}
