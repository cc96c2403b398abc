/** The dentry cache (include/linux/dcache.h): names of files as the kernel remembers them. */
import { type Gva, gva } from "../base/index.ts";
import { type Budget, Inconsistent, walkHashChain, walkList } from "./lists.ts";
import type { Look } from "./look.ts";
import { encodeText } from "./text.ts";

/** Longest name (include/uapi/linux/limits.h): a hostile length would make us copy RAM. */
const NAME_MAX = 255;

export interface Dentry {
  readonly at: Gva;
  readonly name: string;
  /** 0: a name that is known not to exist. */
  readonly inode: Gva;
  /** No longer to be found by its name: deleted, or never had one. */
  readonly unhashed: boolean;
}

const offsets = (look: Look) =>
  look.offsets("names of files", "dentry", "d_parent", "d_name.name", "d_name.len", "d_inode", "d_hash.pprev");

/** Throws Unreadable, Inconsistent, or VivError for want of types. */
export function readDentry(look: Look, at: Gva): Dentry {
  const { space } = look;
  const D = offsets(look);
  return {
    at,
    name: readName(look, at),
    inode: space.pointer(at, D.d_inode),
    unhashed: space.pointer(at, D["d_hash.pprev"]) === 0,
  };
}

/** The directory a dentry is in; itself: it is the root of a file system. Throws as `readDentry`. */
export const parentOf = (look: Look, at: Gva): Gva => look.space.pointer(at, offsets(look).d_parent);

/** Throws as `readDentry`. */
function readName(look: Look, at: Gva): string {
  const { space } = look;
  const D = offsets(look);
  const length = space.u32(at, D["d_name.len"]);
  if (length > NAME_MAX) throw new Inconsistent("a name is too long");
  const name = look.bytesAsText(space.pointer(at, D["d_name.name"]), length);
  // A rename changes name and length one after the other.
  if (name.includes("\0")) throw new Inconsistent("a name is not as long as it says");
  return name;
}

/**
 * Addresses of what the cache holds of a directory, in no order. Throws Unreadable, Inconsistent, TooMany, or VivError
 * for want of types.
 */
export function* childrenOf(look: Look, directory: Gva, budget: Budget): Generator<Gva, void> {
  const D = offsets(look);
  const newer = look.optional("dentry", "d_children");
  let links: Generator<Gva, void>;
  let within: number;
  if (newer !== undefined) {
    links = walkHashChain(look.space, gva(directory + newer), budget);
    within = look.offsets("directories", "dentry", "d_sib").d_sib;
  } else {
    const { d_subdirs, d_child } = look.offsets("directories", "dentry", "d_subdirs", "d_child");
    links = walkList(look.space, gva(directory + d_subdirs), budget);
    within = d_child;
  }
  for (const link of links) {
    const at = gva(link - within);
    if (look.space.pointer(at, D.d_parent) !== directory) throw new Inconsistent("a name moved to another directory");
    yield at;
  }
}

/** A directory's dentry of that name; undefined: not in the cache. Throws as `childrenOf`. */
export function findChild(look: Look, directory: Gva, name: string, budget: Budget): Dentry | undefined {
  const D = offsets(look);
  const length = encodeText(name).length;
  let negative: Dentry | undefined;
  for (const at of childrenOf(look, directory, budget)) {
    if (look.space.u32(at, D["d_name.len"]) !== length || readName(look, at) !== name) continue;
    const found = readDentry(look, at);
    // What was deleted while it was open keeps its place beside its successor.
    if (found.unhashed) continue;
    if (found.inode !== 0) return found;
    negative = found;
  }
  return negative;
}
