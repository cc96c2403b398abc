/** Files by their inodes (include/linux/fs.h): what stat() would say. */
import type { Gva } from "../base/index.ts";
import type { Look } from "./look.ts";
import { readFile } from "./page-cache.ts";
import { PATH_MAX } from "./paths.ts";

/** Types of files by the upper bits of their mode (include/uapi/linux/stat.h), with the letter `ls` gives them. */
const FILE_TYPES = [
  { mode: 0o01_0000, name: "fifo", letter: "p" },
  { mode: 0o02_0000, name: "character device", letter: "c" },
  { mode: 0o04_0000, name: "directory", letter: "d" },
  { mode: 0o06_0000, name: "block device", letter: "b" },
  { mode: 0o10_0000, name: "file", letter: "-" },
  { mode: 0o12_0000, name: "symlink", letter: "l" },
  { mode: 0o14_0000, name: "socket", letter: "s" },
] as const;
const TYPE_MASK = 0o17_0000;

export type FileType = (typeof FILE_TYPES)[number]["name"] | "unknown";

export interface Inode {
  readonly at: Gva;
  readonly number: number;
  readonly type: FileType;
  /** With the type's bits. */
  readonly mode: number;
  readonly links: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  /** Seconds since 1970. */
  readonly modified: number;
  /** As the kernel has it: 12 bits of major, 20 of minor number. 0: no device. */
  readonly device: number;
}

/** Throws Unreadable, or VivError for want of types. */
export function readInode(look: Look, at: Gva): Inode {
  const { space } = look;
  const I = look.offsets(
    "files",
    "inode",
    "i_mode",
    "i_uid",
    "i_gid",
    "i_ino",
    "i_nlink",
    "i_rdev",
    "i_size",
    "i_mtime",
  );
  const mode = space.u16(at, I.i_mode);
  return {
    at,
    number: space.u64(at, I.i_ino),
    type: FILE_TYPES.find((type) => type.mode === (mode & TYPE_MASK))?.name ?? "unknown",
    mode,
    links: space.u32(at, I.i_nlink),
    uid: space.u32(at, I.i_uid),
    gid: space.u32(at, I.i_gid),
    size: space.u64(at, I.i_size),
    modified: space.pointer(at, I.i_mtime),
    device: space.u32(at, I.i_rdev),
  };
}

/** A mode as `ls -l` writes it. */
export function formatMode(mode: number): string {
  const letter = FILE_TYPES.find((type) => type.mode === (mode & TYPE_MASK))?.letter ?? "?";
  let text: string = letter;
  for (let who = 2; who >= 0; who--) {
    const bits = mode >> (who * 3);
    const special = (mode & (0o1000 << who)) !== 0;
    const execute = (bits & 1) !== 0;
    text += (bits & 4) !== 0 ? "r" : "-";
    text += (bits & 2) !== 0 ? "w" : "-";
    const mark = who === 0 ? "t" : "s";
    text += special ? (execute ? mark : mark.toUpperCase()) : execute ? "x" : "-";
  }
  return text;
}

/** Major and minor number of a dev_t (include/linux/kdev_t.h). */
export const deviceNumbers = (device: number): { major: number; minor: number } => ({
  major: device >>> 20,
  minor: device & 0xf_ffff,
});

/**
 * Where a symbolic link leads; undefined where the kernel does not keep it in memory, or makes it up when asked (/proc,
 * /sys). Throws Unreadable, or VivError for want of types.
 */
export function readSymlink(look: Look, inode: Inode): string | undefined {
  const { i_link } = look.offsets("symbolic links", "inode", "i_link");
  const inline = look.space.pointer(inode.at, i_link);
  if (inline !== 0) return look.text(inline, PATH_MAX);
  if (inode.size <= 0 || inode.size >= PATH_MAX) return undefined;
  const { bytes, missing } = readFile(look, inode.at, inode.size);
  return missing.length > 0 ? undefined : look.decode(bytes);
}
