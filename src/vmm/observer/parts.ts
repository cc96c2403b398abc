/** Named parts in one stream of bytes: the length of what is said of a part, that as JSON, the length of the part, the part. */
import { decodeUtf8, encodeUtf8, MiB, VivError } from "../../base/index.ts";
import type { ObserverPart } from "./orders.ts";

/** What is said of a part. */
const MOST_ABOUT = 64 * 1024;
/** One part: stops a guest's process that has gone wrong from filling ours. */
const MOST_BYTES = 1024 * MiB;

export function encodePart({ name, about, bytes }: ObserverPart): Uint8Array[] {
  const said = encodeUtf8(JSON.stringify({ ...about, name }));
  const head = new Uint8Array(8 + said.length);
  const view = new DataView(head.buffer);
  view.setUint32(0, said.length, true);
  head.set(said, 4);
  view.setUint32(4 + said.length, bytes.length, true);
  return [head, bytes];
}

/** Takes the stream as it comes. Throws VivError where it is none. */
export class PartReader {
  readonly #onPart: (part: ObserverPart) => void;
  #waiting: Uint8Array[] = [];
  #length = 0;
  #about: { name: string; about: Record<string, unknown>; length: number } | undefined;

  constructor(onPart: (part: ObserverPart) => void) {
    this.#onPart = onPart;
  }

  take(data: Uint8Array): void {
    this.#waiting.push(data.slice());
    this.#length += data.length;
    for (;;) {
      if (!this.#about) {
        if (this.#length < 4) return;
        const said = new DataView(this.#peek(4).buffer).getUint32(0, true);
        if (said > MOST_ABOUT) throw broken();
        if (this.#length < 8 + said) return;
        const head = this.#pull(8 + said);
        const { name, ...about } = JSON.parse(decodeUtf8(head.subarray(4, 4 + said))) as Record<string, unknown>;
        const length = new DataView(head.buffer).getUint32(4 + said, true);
        if (typeof name !== "string" || length > MOST_BYTES) throw broken();
        this.#about = { name, about, length };
      }
      const { name, about, length } = this.#about;
      if (this.#length < length) return;
      this.#about = undefined;
      this.#onPart({ name, about, bytes: this.#pull(length) });
    }
  }

  #peek(length: number): Uint8Array {
    const bytes = this.#pull(length);
    this.#waiting.unshift(bytes);
    this.#length += length;
    return bytes.slice();
  }

  #pull(length: number): Uint8Array {
    const out = new Uint8Array(length);
    let at = 0;
    while (at < length) {
      const first = this.#waiting[0]!;
      const part = first.subarray(0, length - at);
      out.set(part, at);
      at += part.length;
      if (part.length === first.length) this.#waiting.shift();
      else this.#waiting[0] = first.subarray(part.length);
    }
    this.#length -= length;
    return out;
  }
}

const broken = (): VivError => new VivError("control.protocol", "what the guest's process sends is no recording");
