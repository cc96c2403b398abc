/** Files the user names. */
import { open } from "node:fs/promises";
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

/** The whole of a file, in memory of its own, so that it can be handed to another thread. `what` names it in messages. */
export async function readUserFile(path: string, what: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    const file = await open(path);
    try {
      const info = await file.stat();
      if (info.isDirectory()) throw Object.assign(new Error(path), { code: "EISDIR" });
      if (info.size > MAX_FILE) throw new VivError("file.too-large", `${what} ${path}: no guest has room for it`);
      if (!info.isFile()) return Uint8Array.from(await file.readFile());
      const content = new Uint8Array(info.size);
      let at = 0;
      while (at < content.length) {
        const { bytesRead } = await file.read(content, at, content.length - at, at);
        if (bytesRead === 0) return content.slice(0, at);
        at += bytesRead;
      }
      return content;
    } finally {
      await file.close();
    }
  } catch (error) {
    const known = error instanceof Error && "code" in error ? REASONS[String(error.code)] : undefined;
    if (known === undefined) throw error;
    throw new VivError(known[0], `${what} ${path}: ${known[1]}`, { cause: error });
  }
}
