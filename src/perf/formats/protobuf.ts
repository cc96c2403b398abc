/** Messages of Protocol Buffers (https://protobuf.dev/programming-guides/encoding): as much of their encoding as writing takes. */
import { encodeUtf8 } from "../../base/index.ts";

const VARINT = 0;
const LENGTH_DELIMITED = 2;

export class Message {
  #bytes = new Uint8Array(64);
  #length = 0;

  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }
  clear(): this {
    this.#length = 0;
    return this;
  }

  /** A whole number of either sign, as 64 bits; 0 is what is not written. */
  number(field: number, value: number): this {
    if (value === 0) return this;
    this.#varint(field * 8 + VARINT);
    this.#varint(value);
    return this;
  }
  /** Numbers in one field, packed. */
  numbers(field: number, values: Iterable<number>): this {
    const packed = new Message();
    for (const value of values) packed.#varint(value);
    return this.message(field, packed);
  }
  message(field: number, message: Message): this {
    return this.#delimited(field, message.bytes);
  }
  text(field: number, value: string): this {
    return this.#delimited(field, encodeUtf8(value));
  }

  #delimited(field: number, bytes: Uint8Array): this {
    this.#varint(field * 8 + LENGTH_DELIMITED);
    this.#varint(bytes.length);
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
    return this;
  }

  /** Two's complement of 64 bits, seven at a time. */
  #varint(value: number): void {
    this.#room(10);
    let low = value >>> 0;
    let high = Math.floor(value / 2 ** 32) >>> 0;
    while (high > 0 || low > 0x7f) {
      this.#bytes[this.#length++] = (low & 0x7f) | 0x80;
      low = ((low >>> 7) | (high << 25)) >>> 0;
      high >>>= 7;
    }
    this.#bytes[this.#length++] = low;
  }

  #room(more: number): void {
    if (this.#length + more <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(this.#length + more, this.#bytes.length * 2));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }
}
