/** A guest's file while it is read out of the guest's memory. */
import { concat, VivError } from "../../base/index.ts";
import { Handover } from "./handover.ts";
import type { FileHole } from "./inspections.ts";
import type { GuestObserver } from "./orders.ts";

/**
 * The bytes of a file, in order; can be gone through once. What is not in the guest's memory is left out, and told by `holes`.
 *
 * ```ts
 * for await (const bytes of vm.readFile("/var/log/messages")) process.stdout.write(bytes);
 * ```
 */
export class GuestFile implements AsyncIterable<Uint8Array> {
  readonly path: string;
  /** What was left out, by its place in the file. Settles when all bytes were taken; rejects as taking them does. */
  readonly holes: Promise<readonly FileHole[]>;
  readonly #bytes: AsyncGenerator<Uint8Array, void, undefined>;

  constructor(path: string, observer: () => Promise<GuestObserver>) {
    this.path = path;
    let told!: HoleListener;
    this.holes = new Promise((resolve, reject) => {
      told = { resolve, reject };
    });
    this.holes.catch(() => undefined);
    this.#bytes = read(path, observer, told);
  }

  /** Throws VivError: `guest.opaque`, no such file, a guest whose kernel is not found, and so on. */
  [Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    return this.#bytes;
  }

  /** The whole file. Throws as going through it does, and VivError `guest.file-incomplete` where something of it is not in memory. */
  async bytes(): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    for await (const part of this) parts.push(part);
    const [hole] = await this.holes;
    if (hole) {
      throw new VivError(
        "guest.file-incomplete",
        `not all of ${this.path} is in the guest's memory: ${hole.length} bytes from ${hole.offset} on are missing (${hole.why})`,
      );
    }
    return concat(parts);
  }
}

interface HoleListener {
  resolve(holes: readonly FileHole[]): void;
  reject(reason: unknown): void;
}

async function* read(
  path: string,
  observer: () => Promise<GuestObserver>,
  holes: HoleListener,
): AsyncGenerator<Uint8Array, void, undefined> {
  const parts = new Handover<Uint8Array>();
  try {
    const under = (await observer()).order({ kind: "cat", path }, ({ bytes }) => parts.give(bytes));
    try {
      yield* parts.until(under.answer);
    } finally {
      under.stop();
    }
    holes.resolve(((await under.answer) as { readonly holes: readonly FileHole[] }).holes);
  } catch (error) {
    holes.reject(error);
    throw error;
  } finally {
    // Unless it is known already: whoever took the bytes has had enough.
    holes.reject(new VivError("guest.file-left", `${path} was not read to its end`));
  }
}
