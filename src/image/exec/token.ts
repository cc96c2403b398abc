/**
 * Finds the token that begins and ends a stream. Bytes that could be the token's beginning are held back until the next
 * ones decide, so that all of the stream and nothing of the token is passed on. After a token it looks for the next.
 */
export class TokenScanner {
  readonly #token: Uint8Array;
  /** failure[n]: the longest proper prefix of the token that ends its first n bytes (Knuth, Morris and Pratt). */
  readonly #failure: Uint32Array;
  #matched = 0;

  constructor(token: Uint8Array) {
    this.#token = token;
    this.#failure = new Uint32Array(token.length + 1);
    for (let i = 1, k = 0; i < token.length; i++) {
      while (k > 0 && token[i] !== token[k]) k = this.#failure[k]!;
      if (token[i] === token[k]) k++;
      this.#failure[i + 1] = k;
    }
  }

  /** What of `data`, and of bytes held back before, comes before the token; what follows it, where it was met. */
  push(data: Uint8Array): { readonly output: readonly Uint8Array[]; readonly rest: Uint8Array | undefined } {
    const token = this.#token;
    const held = this.#matched;
    let matched = held;
    let i = 0;
    while (i < data.length) {
      if (matched === 0) {
        i = data.indexOf(token[0]!, i);
        if (i < 0) break;
      }
      if (data[i] === token[matched]) {
        i++;
        if (++matched === token.length) {
          this.#matched = 0;
          return { output: this.#output(data, held, i - token.length), rest: data.subarray(i) };
        }
      } else {
        matched = this.#failure[matched]!;
      }
    }
    this.#matched = matched;
    return { output: this.#output(data, held, data.length - matched), rest: undefined };
  }

  /** The stream up to `end`, an offset in `data` that is negative where it lies in the bytes held back. */
  #output(data: Uint8Array, held: number, end: number): Uint8Array[] {
    const output: Uint8Array[] = [];
    const before = Math.min(held, held + end);
    if (before > 0) output.push(this.#token.slice(0, before));
    if (end > 0) output.push(data.subarray(0, end));
    return output;
  }
}
