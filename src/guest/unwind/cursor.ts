/** Reads the encodings of DWARF call frame information one after the other. What goes beyond the end fails as a whole. */

/** Thrown where a table ends too soon or says what it may not; caught where an entry begins. */
export class BadTable extends Error {
  override readonly name = "BadTable";
}

/** Pointer encodings (LSB, "DWARF Exception Header Encoding"). */
export const ENCODING = { omit: 0xff, pcRelative: 0x10, dataRelative: 0x30, indirect: 0x80 } as const;

/** Bytes of a LEB128 number: 64 bits have ten. */
const MAX_LEB = 10;

/** An augmentation: real ones have up to five letters. */
const MAX_TEXT = 16;

export class Cursor {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  /** Address of the first byte. */
  readonly #base: number;
  at = 0;
  readonly end: number;

  constructor(bytes: Uint8Array, base: number, at = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#base = base;
    this.at = at;
    this.end = Math.min(end, bytes.length);
  }

  /** Another one that goes on where this one stands. */
  again(): Cursor {
    return new Cursor(this.#bytes, this.#base, this.at, this.end);
  }
  slice(at: number, length: number): Uint8Array {
    return this.#bytes.subarray(at, at + length);
  }
  /** Where it stands in memory. */
  get address(): number {
    return this.#base + this.at;
  }
  moveTo(at: number): void {
    this.skip(at - this.at);
  }
  get more(): boolean {
    return this.at < this.end;
  }
  #take(length: number): number {
    const at = this.at;
    if (!(length >= 0) || at + length > this.end) throw new BadTable("a table ends too soon");
    this.at += length;
    return at;
  }
  skip(length: number): void {
    this.#take(length);
  }
  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }
  s8(): number {
    return this.#view.getInt8(this.#take(1));
  }
  u16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }
  s16(): number {
    return this.#view.getInt16(this.#take(2), true);
  }
  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }
  s32(): number {
    return this.#view.getInt32(this.#take(4), true);
  }
  /** 64 bits with sign. */
  s64(): number {
    const low = this.u32();
    return this.s32() * 2 ** 32 + low;
  }
  uleb(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < MAX_LEB; i++) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      scale *= 128;
      if (byte < 0x80) return value;
    }
    throw new BadTable("a number does not end");
  }
  sleb(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < MAX_LEB; i++) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      scale *= 128;
      if (byte < 0x80) return (byte & 0x40) !== 0 ? value - scale : value;
    }
    throw new BadTable("a number does not end");
  }
  /** ASCII up to a NUL. */
  text(): string {
    let text = "";
    for (let code = this.u8(); code !== 0; code = this.u8()) {
      if (text.length === MAX_TEXT) throw new BadTable("a text does not end");
      text += String.fromCharCode(code);
    }
    return text;
  }

  /** An encoded pointer, as the address it stands for. `data`: what data-relative ones are relative to. */
  pointer(encoding: number, data: number): number {
    const from = this.#base + this.at;
    const value = this.#value(encoding & 15);
    // The address of a pointer is of no use: memory that is moved is not the file's.
    if ((encoding & ENCODING.indirect) !== 0) return Number.NaN;
    switch (encoding & 0x70) {
      case 0:
        return value;
      case ENCODING.pcRelative:
        return from + value;
      case ENCODING.dataRelative:
        return data + value;
      default:
        throw new BadTable("a pointer relative to what is not known");
    }
  }
  #value(format: number): number {
    switch (format) {
      case 0:
      case 4:
      case 12:
        return this.s64();
      case 1:
        return this.uleb();
      case 2:
        return this.u16();
      case 3:
        return this.u32();
      case 9:
        return this.sleb();
      case 10:
        return this.s16();
      case 11:
        return this.s32();
      default:
        throw new BadTable("a pointer of a kind that is not known");
    }
  }
}
