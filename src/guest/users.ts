/** Names of the guest's users, where its /etc/passwd is in memory (passwd(5)). */
import { VivError } from "../base/index.ts";
import type { FileTree } from "./file-tree.ts";
import { isGuestFault } from "./lists.ts";
import type { Look } from "./look.ts";
import { readFile } from "./page-cache.ts";
import { decodeBytes } from "./text.ts";

/** Of /etc/passwd: a hostile one could be as large as RAM. */
const MOST_BYTES = 1024 * 1024;

/** Names by number; empty where the file is not whole in memory. */
export function readUsers(look: Look, files: FileTree): ReadonlyMap<number, string> {
  const users = new Map<number, string>();
  try {
    const { bytes, missing } = readFile(look, files.find("/etc/passwd").inode.at, MOST_BYTES);
    if (missing.length > 0) return users;
    for (const line of decodeBytes(bytes).split("\n")) {
      const [name, , uid] = line.split(":");
      if (name && uid !== undefined && /^\d+$/.test(uid) && !users.has(Number(uid))) users.set(Number(uid), name);
    }
  } catch (error) {
    if (!(error instanceof VivError) && !isGuestFault(error)) throw error;
  }
  return users;
}
