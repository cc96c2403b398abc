/** Files the user names. */
import { fstatSync, openSync, readFileSync, readSync } from "node:fs";
import { VivError } from "../../base/index.ts";

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

/** Files that are read more than once: they stay open, so that each is the same whatever becomes of its name. */
export class OpenFiles {
  /** Descriptors; of what can be read only once, its content. */
  readonly #open = new Map<string, number | Uint8Array>();

  /** The whole of a file. `what` names it in messages. */
  read(path: string, what: string): Uint8Array {
    try {
      const file = this.#open.get(path) ?? this.#find(path, what);
      this.#open.set(path, file);
      return typeof file === "number" ? wholeOf(file) : file;
    } catch (error) {
      // More than the host has.
      if (error instanceof RangeError) throw tooLarge(path, what);
      const known = error instanceof Error && "code" in error ? REASONS[String(error.code)] : undefined;
      if (known === undefined) throw error;
      throw new VivError(known[0], `${what} ${path}: ${known[1]}`, { cause: error });
    }
  }

  #find(path: string, what: string): number | Uint8Array {
    const file = openSync(path, "r");
    const info = fstatSync(file);
    if (info.isDirectory()) throw Object.assign(new Error(path), { code: "EISDIR" });
    if (info.size > MAX_FILE) throw tooLarge(path, what);
    return info.isFile() ? file : Uint8Array.from(readFileSync(file));
  }
}

const tooLarge = (path: string, what: string) =>
  new VivError("file.too-large", `${what} ${path}: no guest has room for it`);

function wholeOf(file: number): Uint8Array {
  const { size } = fstatSync(file);
  // Memory of its own: once the C library's heap frees a block as large as a kernel, it keeps what is smaller in that heap, and in pieces
  // (glibc: mallopt(3), M_MMAP_THRESHOLD).
  const content = new Uint8Array(new WebAssembly.Memory({ initial: Math.ceil(size / WASM_PAGE) }).buffer, 0, size);
  let at = 0;
  while (at < content.length) {
    const length = readSync(file, content, at, content.length - at, at);
    if (length === 0) return content.slice(0, at);
    at += length;
  }
  return content;
}
