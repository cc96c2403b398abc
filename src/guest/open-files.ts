/** Open files of a process (include/linux/fdtable.h), as /proc/PID/fd and fdinfo show them. */
import { type Gva, gva } from "../base/index.ts";
import { Budget, Inconsistent, type Listing, readEach, readListing } from "./lists.ts";
import type { Look } from "./look.ts";
import { fileName, type Place } from "./paths.ts";

/** Descriptors of a process: the kernel's own limit (fs.nr_open) is 2^20; a hostile table claims up to 2^32. */
export const MOST_DESCRIPTORS = 2 ** 20;
const BITS = 32;
/** O_CLOEXEC is of the descriptor, not of the file. */
const O_ACCMODE = 3;
/** In file.f_flags (include/uapi/asm-generic/fcntl.h). */
const OPEN_FLAGS = [
  { bit: 0o2000, name: "append" },
  { bit: 0o4000, name: "nonblock" },
  { bit: 0o4_0000, name: "direct" },
  { bit: 0o401_0000, name: "sync" },
  { bit: 0o1000_0000, name: "path" },
] as const;
const ACCESS = ["read", "write", "read-write", "none"] as const;

export interface OpenFile {
  readonly fd: number;
  /** Of its struct file. */
  readonly at: Gva;
  readonly inode: Gva;
  /** Path, `pipe:[…]`, `socket:[…]`, `anon_inode:[…]`. */
  readonly name: string;
  readonly access: (typeof ACCESS)[number];
  readonly flags: readonly string[];
  /** As the kernel has them: O_… */
  readonly rawFlags: number;
  readonly position: number;
}

/**
 * By descriptor. `task`: address of its task_struct; `root`: what paths begin at. Throws VivError for want of types.
 */
export function listOpenFiles(look: Look, task: Gva, root: Place | undefined): Listing<OpenFile> {
  return readListing((rows, gaps) => {
    const descriptors = walkDescriptors(look, task, new Budget(MOST_DESCRIPTORS));
    readEach(descriptors, ({ fd, at }) => readOpenFile(look, fd, at, root), rows, gaps, "files");
  });
}

/**
 * Descriptors of a task and the struct files they stand for. Throws Unreadable, TooMany, Inconsistent, or VivError for
 * want of types.
 */
export function* walkDescriptors(look: Look, task: Gva, budget: Budget): Generator<{ fd: number; at: Gva }, void> {
  const { space } = look;
  const { files } = look.offsets("open files", "task_struct", "files");
  const { fdt } = look.offsets("open files", "files_struct", "fdt");
  const T = look.offsets("open files", "fdtable", "max_fds", "fd", "open_fds");
  const own = space.pointer(task, files);
  // A kernel thread, or a process that ends.
  if (own === 0) return;
  const table = space.pointer(own, fdt);
  const most = space.u32(table, T.max_fds);
  if (most > MOST_DESCRIPTORS) throw new Inconsistent("a table of files is too large");
  const array = space.pointer(table, T.fd);
  const open = space.pointer(table, T.open_fds);
  for (let base = 0; base < most; base += BITS) {
    budget.spend();
    const word = space.u32(open, base / 8);
    for (let bit = 0; word >>> bit !== 0 && bit < BITS; bit++) {
      if (((word >>> bit) & 1) === 0) continue;
      const at = space.pointer(array, (base + bit) * 8);
      // A descriptor is taken before its file is there.
      if (at !== 0) yield { fd: base + bit, at: gva(at) };
    }
  }
}

function readOpenFile(look: Look, fd: number, at: Gva, root: Place | undefined): OpenFile {
  const { space } = look;
  const F = look.offsets("open files", "file", "f_flags", "f_pos", "f_inode");
  const flags = space.u32(at, F.f_flags);
  return {
    fd,
    at,
    inode: space.pointer(at, F.f_inode),
    name: fileName(look, at, root),
    access: ACCESS[flags & O_ACCMODE]!,
    flags: OPEN_FLAGS.filter(({ bit }) => (flags & bit) === bit).map(({ name }) => name),
    rawFlags: flags,
    position: space.u64(at, F.f_pos),
  };
}
