/** The guest's console: its first serial port, as a stream of bytes in both directions. */
import { ConsoleHistory } from "./console-history.ts";
import type { HostSerialLine } from "./serial-line.ts";

/** What a listener gets, at most, of what the guest printed before anyone listened. */
export const BACKLOG = 64 * 1024;

/** Takes what the guest printed. Where it returns a promise, the guest is held back until that settles. */
export type ConsoleListener = (data: Uint8Array) => void | Promise<void>;

/** What the guest printed, read beside the listener. The guest does not wait: who reads too slowly misses something. */
export interface ConsoleReader {
  /** Bytes that were not kept long enough to be read. */
  readonly missed: number;
  /** What there is to read, at least a byte; undefined once the machine has ended and all is read, or after `close`. */
  read(): Promise<Uint8Array | undefined>;
  /** Bytes that wait to be read. */
  readonly pending: number;
  /** Some of what there is to read now; empty where that is nothing. */
  readNow(): Uint8Array;
  close(): void;
}

/** Read at a time. */
const READ = 64 * 1024;

export class Console implements AsyncIterable<Uint8Array> {
  readonly #line: HostSerialLine;
  readonly #history = new ConsoleHistory();
  /** The number of the first byte that no listener was given. */
  #unheard = 0;
  readonly #readers = new Set<() => void>();
  #over = false;
  #listener: ConsoleListener | undefined;
  readonly #ended: Promise<void>;
  /** Those who wait until the listener has everything. */
  readonly #waiting: (() => void)[] = [];

  constructor(line: HostSerialLine, ended: Promise<void>) {
    this.#line = line;
    this.#ended = ended;
    void ended.then(() => {
      this.#over = true;
      for (const wake of this.#readers) wake();
    });
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
    const from = Math.max(this.#unheard, this.#history.end - BACKLOG);
    if (from < this.#history.end) this.#give(this.#history.read(from, BACKLOG));
    this.#unheard = this.#history.end;
  }

  /** Reads what the guest printed last, up to `backlog` bytes that are still kept, and what it prints from now on. */
  reader(backlog: number): ConsoleReader {
    const history = this.#history;
    const wanted = Math.max(0, history.end - backlog);
    let at = Math.max(history.start, wanted);
    let missed = at - wanted;
    let closed = false;
    let wake: () => void = () => undefined;
    const call = (): void => wake();
    this.#readers.add(call);
    const readNow = (): Uint8Array => {
      const from = Math.max(at, history.start);
      missed += from - at;
      const data = history.read(from, READ);
      at = from + data.length;
      return data;
    };
    return {
      get missed() {
        return missed;
      },
      get pending() {
        return history.end - at;
      },
      readNow,
      read: async () => {
        for (;;) {
          if (closed) return undefined;
          const data = readNow();
          if (data.length > 0) return data;
          // The line was drained when the machine ended, unless a listener holds it.
          if (this.#over && this.#line.drained) return undefined;
          await new Promise<void>((resolve) => {
            wake = resolve;
            if (this.#over) this.#waiting.push(resolve);
          });
        }
      },
      close: () => {
        closed = true;
        this.#readers.delete(call);
        wake();
      },
    };
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
    this.#history.append(data);
    for (const wake of this.#readers) wake();
    if (this.#listener === undefined) return;
    this.#unheard = this.#history.end;
    this.#give(data);
  }

  #give(data: Uint8Array): void {
    const taken = this.#listener?.(data);
    if (!taken) return;
    this.#line.hold(true);
    const release = () => {
      this.#line.hold(false);
      if (!this.#line.drained) return;
      for (const resolve of this.#waiting.splice(0)) resolve();
    };
    taken.then(release, release);
  }
}
