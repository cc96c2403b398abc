/**
 * A queue of bytes in shared memory, from one thread to one other. The writer moves `tail`, the reader `head`; both count
 * up without end, modulo 2^32, and their difference is what the ring holds.
 */
const HEAD = 0;
const TAIL = 1;
const WORDS = 2;

export class ByteRing {
  readonly #positions: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #mask: number;

  /** Bytes of shared memory for a ring that holds `capacity`, a power of two. */
  static size(capacity: number): number {
    return WORDS * Int32Array.BYTES_PER_ELEMENT + capacity;
  }

  /** The ring at `offset`, a multiple of four; both threads make their own object for it. New memory is an empty ring. */
  constructor(buffer: SharedArrayBuffer, offset: number, capacity: number) {
    if (capacity <= 0 || (capacity & (capacity - 1)) !== 0) throw new RangeError("a ring's capacity is a power of two");
    this.#positions = new Int32Array(buffer, offset, WORDS);
    this.#bytes = new Uint8Array(buffer, offset + this.#positions.byteLength, capacity);
    this.#mask = capacity - 1;
  }

  get available(): number {
    return (Atomics.load(this.#positions, TAIL) - Atomics.load(this.#positions, HEAD)) >>> 0;
  }

  get room(): number {
    return this.#bytes.length - this.available;
  }

  /** Appends as much of `data` as there is room for, from `from` on; returns how many bytes that were. */
  write(data: Uint8Array, from = 0): number {
    const count = Math.min(data.length - from, this.room);
    const tail = Atomics.load(this.#positions, TAIL);
    const at = tail & this.#mask;
    const first = Math.min(count, this.#bytes.length - at);
    this.#bytes.set(data.subarray(from, from + first), at);
    if (count > first) this.#bytes.set(data.subarray(from + first, from + count), 0);
    Atomics.store(this.#positions, TAIL, (tail + count) | 0);
    return count;
  }

  /** A copy of up to `most` bytes from the front, which stay in the ring until `consume`. */
  peek(most: number): Uint8Array {
    const count = Math.min(most, this.available);
    const at = Atomics.load(this.#positions, HEAD) & this.#mask;
    const first = Math.min(count, this.#bytes.length - at);
    const out = new Uint8Array(count);
    out.set(this.#bytes.subarray(at, at + first));
    out.set(this.#bytes.subarray(0, count - first), first);
    return out;
  }

  /** Takes `count` bytes, no more than `peek` gave, off the front. */
  consume(count: number): void {
    Atomics.store(this.#positions, HEAD, (Atomics.load(this.#positions, HEAD) + count) | 0);
  }
}
