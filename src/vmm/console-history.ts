/** The last of what a guest printed on its console, as a ring that grows as it is needed. Bytes have numbers, from 0 on. */

/** What is kept, at most: what a guest prints must not take the host's memory. */
export const HISTORY = 1024 * 1024;
/** What the ring begins with: most guests print little. */
const FIRST = 4096;

export class ConsoleHistory {
  #bytes = new Uint8Array(FIRST);
  #end = 0;

  /** The number of the next byte to come. */
  get end(): number {
    return this.#end;
  }

  /** The number of the first byte that is kept. */
  get start(): number {
    return Math.max(0, this.#end - HISTORY);
  }

  append(data: Uint8Array): void {
    const kept = data.subarray(Math.max(0, data.length - HISTORY));
    this.#end += data.length - kept.length;
    if (this.#end + kept.length > this.#bytes.length) this.#grow(this.#end + kept.length);
    const at = this.#end % this.#bytes.length;
    const first = Math.min(kept.length, this.#bytes.length - at);
    this.#bytes.set(kept.subarray(0, first), at);
    this.#bytes.set(kept.subarray(first), 0);
    this.#end += kept.length;
  }

  /** A copy of up to `most` bytes from number `from` on, which is kept. */
  read(from: number, most: number): Uint8Array {
    const count = Math.max(0, Math.min(most, this.#end - from));
    const at = from % this.#bytes.length;
    const first = Math.min(count, this.#bytes.length - at);
    const out = new Uint8Array(count);
    out.set(this.#bytes.subarray(at, at + first));
    out.set(this.#bytes.subarray(0, count - first), first);
    return out;
  }

  /** While it is not as large as it may get, nothing has been dropped: byte n stands at n. */
  #grow(wanted: number): void {
    let size = this.#bytes.length;
    if (size === HISTORY) return;
    while (size < wanted && size < HISTORY) size *= 2;
    const larger = new Uint8Array(size);
    larger.set(this.#bytes.subarray(0, Math.min(this.#end, this.#bytes.length)));
    this.#bytes = larger;
  }
}
