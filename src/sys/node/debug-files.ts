/** Debug information of this host's packages (Debian's NAME-dbgsym and libc6-dbg), by build-id: names for code that a guest has without. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import type { FileBytes } from "../../guest/elf/elf.ts";

const DIRECTORY = "/usr/lib/debug/.build-id";

/** `buildId`: 40 hexadecimal digits, checked by the caller. */
export function debugFile(buildId: string): FileBytes | undefined {
  const path = `${DIRECTORY}/${buildId.slice(0, 2)}/${buildId.slice(2)}.debug`;
  const read = (offset: number, length: number): Uint8Array | undefined => {
    let file: number | undefined;
    try {
      file = openSync(path, "r");
      if (offset + length > fstatSync(file).size) return undefined;
      const bytes = new Uint8Array(length);
      return readSync(file, bytes, 0, length, offset) === length ? bytes : undefined;
    } catch {
      return undefined;
    } finally {
      if (file !== undefined) closeSync(file);
    }
  };
  return read(0, 4) && { read };
}
