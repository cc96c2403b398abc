/** The guest's console: its first serial port, as a stream of bytes in both directions. */
import type { HostSerialLine } from "./serial-line.ts";

/** What the guest printed before anyone listened, at most. Older bytes are dropped. */
export const BACKLOG = 64 * 1024;

/** Takes what the guest printed. Where it returns a promise, the guest is held back until that settles. */
export type ConsoleListener = (data: Uint8Array) => void | Promise<void>;

export class Console implements AsyncIterable<Uint8Array> {
  readonly #line: HostSerialLine;
  readonly #backlog: Uint8Array[] = [];
  #backlogSize = 0;
  #listener: ConsoleListener | undefined;
  readonly #ended: Promise<void>;
  /** Those who wait until the listener has everything. */
  readonly #waiting: (() => void)[] = [];

  constructor(line: HostSerialLine, ended: Promise<void>) {
    this.#line = line;
    this.#ended = ended;
    line.listen((data) => this.#take(data));
  }

  /** Types `data` at the guest. Settles when the guest's serial port has it within reach. */
  write(data: Uint8Array): Promise<void> {
    return this.#line.send(data);
  }

  /** Says who takes what the guest prints, beginning with what it printed last. There is one listener at a time. */
  listen(listener: ConsoleListener | undefined): void {
    this.#listener = listener;
    if (listener === undefined) return;
    for (const data of this.#backlog.splice(0)) this.#take(data);
    this.#backlogSize = 0;
  }

  /** Settles when the machine has ended and the listener has taken all it printed. */
  async drained(): Promise<void> {
    await this.#ended;
    if (this.#line.drained) return;
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  /** What the guest prints, until the machine ends. The guest waits for a reader that is slow. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    const queue: Uint8Array[] = [];
    let wake: () => void = () => undefined;
    let ended = false;
    void this.#ended.then(() => {
      ended = true;
      wake();
    });
    let taken: () => void = () => undefined;
    this.listen((data) => {
      queue.push(data);
      wake();
      return new Promise((resolve) => {
        taken = resolve;
      });
    });
    try {
      for (;;) {
        const data = queue.shift();
        if (data !== undefined) {
          yield data;
          continue;
        }
        taken();
        if (queue.length > 0) continue;
        if (ended && this.#line.drained) return;
        await new Promise<void>((resolve) => {
          wake = resolve;
          if (ended) this.#waiting.push(resolve);
        });
      }
    } finally {
      this.listen(undefined);
      taken();
    }
  }

  #take(data: Uint8Array): void {
    if (this.#listener === undefined) {
      this.#keep(data);
      return;
    }
    const taken = this.#listener(data);
    if (!taken) return;
    this.#line.hold(true);
    const release = () => {
      this.#line.hold(false);
      if (!this.#line.drained) return;
      for (const resolve of this.#waiting.splice(0)) resolve();
    };
    taken.then(release, release);
  }

  #keep(data: Uint8Array): void {
    this.#backlog.push(data);
    this.#backlogSize += data.length;
    while (this.#backlogSize - this.#backlog[0]!.length >= BACKLOG) this.#backlogSize -= this.#backlog.shift()!.length;
  }
}
