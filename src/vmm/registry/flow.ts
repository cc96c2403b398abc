/**
 * Streams of bytes in a channel. A sender has credit, which the receiver gives back as it uses bytes up: so a stream that nobody
 * reads holds up neither the other streams of its connection nor its sender's memory.
 */
import { VivError } from "../../base/index.ts";

/** Bytes under way in a stream, at most. */
export const WINDOW = 256 * 1024;
/** Of one frame: other channels' frames go between. */
const PIECE = 64 * 1024;

/** The sending end. */
export class Outflow {
  readonly #send: (piece: Uint8Array | undefined) => void;
  #credit = WINDOW;
  #ended = false;
  #wake: () => void = () => undefined;
  /** One write after the other, in the order of the calls. */
  #last: Promise<void> = Promise.resolve();

  /** `send` is given the pieces, and undefined at the end. */
  constructor(send: (piece: Uint8Array | undefined) => void) {
    this.#send = send;
  }

  /** Settles when the last of it is on its way, or when nobody wants it any more. The bytes must not change until then. */
  write(data: Uint8Array): Promise<void> {
    return (this.#last = this.#last.then(() => this.#pass(data)));
  }

  async #pass(data: Uint8Array): Promise<void> {
    for (let at = 0; at < data.length && !this.#ended; ) {
      if (this.#credit === 0) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        continue;
      }
      const piece = data.subarray(at, at + Math.min(PIECE, this.#credit));
      this.#credit -= piece.length;
      at += piece.length;
      this.#send(piece);
    }
  }

  /** The end, after what was written. */
  end(): Promise<void> {
    return (this.#last = this.#last.then(() => {
      if (!this.#ended) this.#send(undefined);
      this.#ended = true;
    }));
  }

  addCredit(bytes: number): void {
    // More than was under way was never taken.
    this.#credit = Math.min(WINDOW, this.#credit + bytes);
    this.#wake();
  }

  /** Nobody wants it: what waits is dropped. */
  abandon(): void {
    this.#ended = true;
    this.#wake();
  }
}

/** The receiving end. Read by one reader. */
export class Inflow implements AsyncIterable<Uint8Array> {
  readonly #credit: (bytes: number) => void;
  readonly #queue: Uint8Array[] = [];
  #size = 0;
  #state: "open" | "ended" | "dropped" = "open";
  #wake: () => void = () => undefined;

  /** `credit` lets so many more bytes come. */
  constructor(credit: (bytes: number) => void) {
    this.#credit = credit;
  }

  /** A copy is kept. Throws VivError `control.protocol` where the sender had no credit for that. */
  push(data: Uint8Array): void {
    if (data.length === 0) return;
    if (this.#state !== "open") {
      this.#credit(data.length);
      return;
    }
    if (this.#size + data.length > WINDOW) {
      throw new VivError("control.protocol", "the other end breaks the protocol: bytes it had no credit for");
    }
    this.#queue.push(data.slice());
    this.#size += data.length;
    this.#wake();
  }

  /** There is no more; what came is still read. */
  end(): void {
    if (this.#state === "open") this.#state = "ended";
    this.#wake();
  }

  /** Nobody reads on: what comes is dropped, and the sender not held up. */
  drop(): void {
    if (this.#state === "open") {
      this.#state = "dropped";
      if (this.#size > 0) this.#credit(this.#size);
    }
    this.#queue.length = 0;
    this.#size = 0;
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for (;;) {
        const data = this.#queue.shift();
        if (data !== undefined) {
          yield data;
          // Another may have dropped the queue meanwhile, and given its credit.
          if (this.#state === "dropped") return;
          this.#size -= data.length;
          if (this.#state === "open") this.#credit(data.length);
        } else if (this.#state !== "open") return;
        else
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
      }
    } finally {
      this.drop();
    }
  }
}
