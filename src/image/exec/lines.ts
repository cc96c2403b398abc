/** Cuts a stream of bytes into ASCII lines, and drops those that are longer than `limit`. */
export class LineReader {
  readonly #limit: number;
  #line = "";
  #overlong = false;

  constructor(limit: number) {
    this.#limit = limit;
  }

  push(data: Uint8Array): string[] {
    const lines: string[] = [];
    for (const byte of data) {
      if (byte === 0x0a) {
        if (!this.#overlong) lines.push(this.#line);
        this.#line = "";
        this.#overlong = false;
      } else if (this.#line.length < this.#limit) {
        this.#line += String.fromCharCode(byte);
      } else {
        this.#overlong = true;
      }
    }
    return lines;
  }
}
