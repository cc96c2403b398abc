/** A growing run of bytes with WebAssembly's variable-length integers (core specification, section 5.2.2). */
export class ByteWriter {
  #bytes: Uint8Array;
  length = 0;

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
  }

  u8(value: number): void {
    if (this.length === this.#bytes.length) this.#grow(1);
    this.#bytes[this.length++] = value;
  }

  raw(bytes: ArrayLike<number>): void {
    if (this.length + bytes.length > this.#bytes.length) this.#grow(bytes.length);
    this.#bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  /** Unsigned LEB128 of a number below 2^32. */
  u32(value: number): void {
    value >>>= 0;
    while (value > 0x7f) {
      this.u8((value & 0x7f) | 0x80);
      value >>>= 7;
    }
    this.u8(value);
  }

  /** Signed LEB128 of a 32-bit integer. */
  s32(value: number): void {
    value |= 0;
    for (;;) {
      const low = value & 0x7f;
      value >>= 7;
      if ((value === 0 && (low & 0x40) === 0) || (value === -1 && (low & 0x40) !== 0)) {
        this.u8(low);
        return;
      }
      this.u8(low | 0x80);
    }
  }

  /** Signed LEB128 of a 64-bit integer. */
  s64(value: number | bigint): void {
    if (typeof value === "number" && value >= -0x8000_0000 && value <= 0x7fff_ffff) {
      this.s32(value);
      return;
    }
    let rest = BigInt.asIntN(64, BigInt(value));
    for (;;) {
      const low = Number(rest & 0x7fn);
      rest >>= 7n;
      if ((rest === 0n && (low & 0x40) === 0) || (rest === -1n && (low & 0x40) !== 0)) {
        this.u8(low);
        return;
      }
      this.u8(low | 0x80);
    }
  }

  /** Writes a signed integer over `bytes` bytes that are there, as LEB128 of that length. */
  patch(at: number, value: number, bytes: number): void {
    const out = this.#bytes;
    let rest = value | 0;
    for (const last = at + bytes - 1; at < last; at++) {
      out[at] = (rest & 0x7f) | 0x80;
      rest >>= 7;
    }
    out[at] = rest & 0x7f;
  }
  patchByte(at: number, value: number): void {
    this.#bytes[at] = value;
  }
  /** An unsigned number below 2^14 over two bytes. */
  patchIndex(at: number, index: number): void {
    this.#bytes[at] = (index & 0x7f) | 0x80;
    this.#bytes[at + 1] = index >> 7;
  }
  /** Writes a signed 64-bit integer over ten bytes. */
  patch64(at: number, low: number, high: number): void {
    const out = this.#bytes;
    let rest = low >>> 0;
    for (let i = 0; i < 4; i++) {
      out[at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    // Four bits are left of the lower half.
    out[at++] = (rest & 0xf) | ((high & 7) << 4) | 0x80;
    let upper = high >> 3;
    for (let i = 0; i < 4; i++) {
      out[at++] = (upper & 0x7f) | 0x80;
      upper >>= 7;
    }
    out[at] = upper & 0x7f;
  }

  /** A name: its UTF-8 length, then its bytes. Names here are ASCII. */
  name(text: string): void {
    this.u32(text.length);
    for (let i = 0; i < text.length; i++) this.u8(text.charCodeAt(i) & 0x7f);
  }

  /** `body` preceded by its length. */
  sized(body: ByteWriter): void {
    this.u32(body.length);
    this.raw(body.view());
  }

  view(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }

  #grow(by: number): void {
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.length + by));
    larger.set(this.#bytes.subarray(0, this.length));
    this.#bytes = larger;
  }
}
