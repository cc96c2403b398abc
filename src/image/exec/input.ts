import { MAX_FRAME } from "./protocol.ts";

export type Input = Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/** Hands a command's input out in frames, as the guest asks for them, and no sooner. */
export class InputFrames {
  readonly #source: AsyncIterator<Uint8Array> | Iterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);
  #ended = false;

  constructor(input: Input) {
    const source = input instanceof Uint8Array ? [input] : input;
    this.#source = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  }

  /** The next frame; an empty one at the end of input, and ever after. */
  async next(): Promise<Uint8Array> {
    while (this.#rest.length === 0) {
      if (this.#ended) return this.#rest;
      const step = await this.#source.next();
      if (step.done === true) this.#ended = true;
      else this.#rest = step.value;
    }
    const frame = this.#rest.subarray(0, MAX_FRAME);
    this.#rest = this.#rest.subarray(frame.length);
    return frame;
  }

  /** Nobody wants the rest. A source that still waits for data is told, not waited for. */
  close(): void {
    if (this.#ended) return;
    this.#ended = true;
    void Promise.resolve(this.#source.return?.()).catch(() => undefined);
  }
}
