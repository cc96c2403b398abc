/** Text as bytes. Written out here because the rooms of the core see neither Node's nor the browser's encoders. */
export function utf8(text: string): Uint8Array<ArrayBuffer> {
  const out: number[] = [];
  for (const character of text) {
    const code = character.codePointAt(0)!;
    // Half of a surrogate pair has no encoding; it becomes U+FFFD, as in the WHATWG encoder.
    const point = code >= 0xd800 && code <= 0xdfff ? 0xfffd : code;
    if (point < 0x80) out.push(point);
    else if (point < 0x800) out.push(0xc0 | (point >> 6), continuation(point));
    else if (point < 0x10000) out.push(0xe0 | (point >> 12), continuation(point >> 6), continuation(point));
    else out.push(0xf0 | (point >> 18), continuation(point >> 12), continuation(point >> 6), continuation(point));
  }
  return Uint8Array.from(out);
}

const continuation = (bits: number): number => 0x80 | (bits & 0x3f);
