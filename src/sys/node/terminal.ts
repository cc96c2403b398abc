/** This process's terminal: raw mode, and out of it again however the process ends. */
import type { ReadStream, WriteStream } from "node:tty";

/** Attributes off, cursor visible, bracketed paste off: what a program in the guest may have left behind. */
const TIDY = "\x1b[0m\x1b[?25h\x1b[?2004l";

export interface WindowSize {
  readonly rows: number;
  readonly columns: number;
}

const DEFAULT_SIZE: WindowSize = { rows: 24, columns: 80 };

export class Terminal {
  readonly #input: ReadStream;
  readonly #output: WriteStream;
  #raw = false;
  readonly #restore = (): void => this.leaveRaw();
  readonly #resume = (): void => {
    if (this.#raw) this.#input.setRawMode(true);
  };

  constructor(input: ReadStream, output: WriteStream) {
    this.#input = input;
    this.#output = output;
  }

  get size(): WindowSize {
    const { rows, columns } = this.#output;
    return rows > 0 && columns > 0 ? { rows, columns } : DEFAULT_SIZE;
  }

  onResize(listener: (size: WindowSize) => void): void {
    this.#output.on("resize", () => listener(this.size));
  }

  /** Every key comes through as it is typed. `exit` covers uncaught errors too; signals have to end in an exit. */
  enterRaw(): void {
    if (this.#raw) return;
    this.#raw = true;
    this.#input.setRawMode(true);
    process.on("exit", this.#restore);
    // Whoever stopped us has put the terminal into a mode of its own meanwhile.
    process.on("SIGCONT", this.#resume);
  }

  /** As it was. May be called at any time, any number of times. */
  leaveRaw(): void {
    if (!this.#raw) return;
    this.#raw = false;
    process.off("exit", this.#restore);
    process.off("SIGCONT", this.#resume);
    this.#input.setRawMode(false);
    if (this.#output.isTTY) this.#output.write(TIDY);
  }
}
