/** Files the user names. */
import { fstatSync, openSync, readFileSync, readSync } from "node:fs";
import { VivError } from "../../base/index.ts";
import type { ImageSource } from "../../machine/boot/index.ts";

const REASONS: Readonly<Record<string, readonly [code: string, reason: string]>> = {
  ENOENT: ["file.not-found", "no such file"],
  ENOTDIR: ["file.not-found", "a part of the path is no directory"],
  EISDIR: ["file.not-a-file", "that is a directory, not a file"],
  EACCES: ["file.not-readable", "you may not read it"],
  EPERM: ["file.not-readable", "you may not read it"],
};
/** A kernel or initrd beyond this fits no guest. */
const MAX_FILE = 0xffffffff;

const WASM_PAGE = 65536;
const LARGE = 1 << 20;

/** Files that are read more than once: they stay open, so that each is the same whatever becomes of its name. */
export class OpenFiles {
  /** Descriptors; of what can be read only once, its content. */
  readonly #open = new Map<string, number | Uint8Array>();

  /** A file, of which is read what is wanted. `what` names it in messages. */
  read(path: string, what: string): ImageSource {
    return told(path, what, () => {
      const file = this.#open.get(path) ?? find(path, what);
      this.#open.set(path, file);
      return typeof file === "number" ? new OpenFile(file, path, what) : file;
    });
  }
}

class OpenFile implements ImageSource {
  readonly length: number;
  readonly #file: number;
  readonly #path: string;
  readonly #what: string;

  constructor(file: number, path: string, what: string) {
    this.length = fstatSync(file).size;
    this.#file = file;
    this.#path = path;
    this.#what = what;
  }

  subarray(start: number, end = this.length): Uint8Array {
    const size = end - start;
    return told(this.#path, this.#what, () => {
      const part = size < LARGE ? new Uint8Array(size) : ownMemory(size);
      this.readInto(part, start);
      return part;
    });
  }

  readInto(target: Uint8Array, start: number): void {
    told(this.#path, this.#what, () => {
      for (let at = 0; at < target.length; ) {
        const length = readSync(this.#file, target, at, target.length - at, start + at);
        if (length === 0) {
          const message = `${this.#what} ${this.#path}: it became shorter while it was read; start again when it is complete`;
          throw new VivError("file.changed", message);
        }
        at += length;
      }
    });
  }
}

function find(path: string, what: string): number | Uint8Array {
  const file = openSync(path, "r");
  const info = fstatSync(file);
  if (info.isDirectory()) throw Object.assign(new Error(path), { code: "EISDIR" });
  if (info.size > MAX_FILE) throw tooLarge(path, what);
  return info.isFile() ? file : Uint8Array.from(readFileSync(file));
}

/** Does what may fail for reasons that the user is told. */
function told<T>(path: string, what: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    // More than the host has.
    if (error instanceof RangeError) throw tooLarge(path, what);
    const known = error instanceof Error && "code" in error ? REASONS[String(error.code)] : undefined;
    if (known === undefined) throw error;
    throw new VivError(known[0], `${what} ${path}: ${known[1]}`, { cause: error });
  }
}

const tooLarge = (path: string, what: string) =>
  new VivError("file.too-large", `${what} ${path}: no guest has room for it`);

/**
 * Bytes with memory of their own: once the C library's heap frees a block as large as an initrd, it keeps what is smaller in that heap, and in
 * pieces (glibc: mallopt(3), M_MMAP_THRESHOLD).
 */
const ownMemory = (size: number): Uint8Array =>
  new Uint8Array(new WebAssembly.Memory({ initial: Math.ceil(size / WASM_PAGE) }).buffer, 0, size);
