/** Where the records of a file go: into parts of bounded size, or only into a count of bytes. */
import { MAX_RECORD, RecordHeader } from "./layout.ts";

const PART = 1 << 20;

/** Text as perf has it in records: UTF-8 with a NUL, filled up to eight bytes. */
const MULTIPLE = 8;
export const paddedLength = (length: number): number => Math.ceil((length + 1) / MULTIPLE) * MULTIPLE;

export class RecordSink {
  /** Bytes so far. */
  length = 0;
  readonly counting: boolean;
  readonly #full: Uint8Array[] = [];
  #part: Uint8Array;
  #used = 0;
  view: DataView;

  constructor(counting: boolean) {
    this.counting = counting;
    this.#part = new Uint8Array(counting ? MAX_RECORD : PART);
    this.view = new DataView(this.#part.buffer);
  }

  /** Begins a record of `bodyLength` bytes behind its head, and gives the body's place in `view`, which holds zeros. */
  begin(type: number, misc: number, bodyLength: number): number {
    const size = RecordHeader.size + bodyLength;
    if (size > MAX_RECORD || size % MULTIPLE !== 0) throw new RangeError(`a record of ${size} bytes`);
    this.length += size;
    if (this.counting) return 0;
    if (this.#used + size > this.#part.length) this.#next();
    const { view } = this;
    const { offsets } = RecordHeader;
    const at = this.#used;
    view.setUint32(at + offsets.type, type, true);
    view.setUint16(at + offsets.misc, misc, true);
    view.setUint16(at + offsets.size, size, true);
    this.#used += size;
    return at + RecordHeader.size;
  }

  /** Writes bytes into a record that has begun. */
  put(at: number, bytes: Uint8Array): void {
    if (!this.counting) this.#part.set(bytes, at);
  }

  /** The parts that are done, each once. */
  take(): readonly Uint8Array[] {
    return this.#full.splice(0);
  }
  /** What is left. */
  end(): readonly Uint8Array[] {
    this.#next();
    return this.take();
  }

  #next(): void {
    if (this.#used > 0) this.#full.push(this.#part.subarray(0, this.#used));
    this.#part = new Uint8Array(PART);
    this.view = new DataView(this.#part.buffer);
    this.#used = 0;
  }
}
