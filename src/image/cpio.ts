import { VivError } from "../base/index.ts";
import { utf8 } from "./text.ts";

/**
 * Writes a cpio archive in the "newc" format, the one the kernel unpacks as its initramfs
 * (Documentation/driver-api/early-userspace/buffer-format.rst). The bytes depend on the entries alone: inode numbers
 * count up, times are zero and the owner is root. Hard links are not written: no entry needs them.
 */
export type CpioEntry =
  | { readonly type: "directory"; readonly path: string; readonly mode: number }
  | { readonly type: "file"; readonly path: string; readonly mode: number; readonly data: Uint8Array }
  | { readonly type: "fifo"; readonly path: string; readonly mode: number }
  | { readonly type: "symlink"; readonly path: string; readonly target: string }
  | {
      readonly type: "character";
      readonly path: string;
      readonly mode: number;
      readonly major: number;
      readonly minor: number;
    };

/** File type bits of st_mode. */
const TYPE_BITS = {
  directory: 0o040000,
  file: 0o100000,
  symlink: 0o120000,
  character: 0o020000,
  fifo: 0o010000,
} as const;

/** The header's fields after the magic, in order; each is eight hexadecimal digits. */
const FIELDS = [
  "ino",
  "mode",
  "uid",
  "gid",
  "nlink",
  "mtime",
  "filesize",
  "devmajor",
  "devminor",
  "rdevmajor",
  "rdevminor",
  "namesize",
  "check",
] as const;
type Field = (typeof FIELDS)[number];

const MAGIC = "070701";
const HEADER_SIZE = MAGIC.length + FIELDS.length * 8;
const TRAILER = "TRAILER!!!";
/** Name and data start at multiples of four; the kernel wants nothing more of the whole. */
const align = (size: number): number => (size + 3) & ~3;
/** A size field holds 32 bits. */
const MAX_FILE = 0xffffffff;

export function writeCpio(entries: readonly CpioEntry[]): Uint8Array<ArrayBuffer> {
  const parts = entries.map((entry, index) => part(entry, index + 1));
  parts.push(record(TRAILER, { nlink: 1 }, EMPTY));
  const out = new Uint8Array(parts.reduce((sum, p) => sum + p.size, 0));
  let at = 0;
  for (const p of parts) {
    out.set(p.header, at);
    out.set(p.data, at + align(p.header.length));
    at += p.size;
  }
  return out;
}

interface Part {
  readonly header: Uint8Array;
  readonly data: Uint8Array;
  readonly size: number;
}

const EMPTY = new Uint8Array(0);

function part(entry: CpioEntry, ino: number): Part {
  if (entry.path === "" || entry.path.startsWith("/")) {
    throw new VivError("image.path", `"${entry.path}" is no path inside an initramfs: name it relative to its root`);
  }
  const data = entry.type === "file" ? entry.data : entry.type === "symlink" ? utf8(entry.target) : EMPTY;
  if (data.length > MAX_FILE) throw new VivError("image.file-too-large", `${entry.path} is larger than 4 GiB`);
  const mode = TYPE_BITS[entry.type] | (entry.type === "symlink" ? 0o777 : entry.mode);
  const device = entry.type === "character" ? { rdevmajor: entry.major, rdevminor: entry.minor } : {};
  return record(entry.path, { ino, mode, nlink: entry.type === "directory" ? 2 : 1, ...device }, data);
}

function record(name: string, fields: Partial<Record<Field, number>>, data: Uint8Array): Part {
  const path = utf8(`${name}\0`);
  const all: Partial<Record<Field, number>> = { ...fields, filesize: data.length, namesize: path.length };
  const text = MAGIC + FIELDS.map((f) => (all[f] ?? 0).toString(16).padStart(8, "0")).join("");
  const header = new Uint8Array(HEADER_SIZE + path.length);
  header.set(utf8(text));
  header.set(path, HEADER_SIZE);
  return { header, data, size: align(header.length) + align(data.length) };
}
