/**
 * Files as the kernel keeps them in memory (mm/filemap.c, mm/shmem.c): a file's `address_space` has an XArray of folios
 * by page number. Of what lives in memory only (initramfs, tmpfs) everything is there but holes; of what lies on a disk
 * what was read or written. What is not there is said to be missing, never shown as zeros.
 *
 * Not here: huge pages of hugetlbfs, DAX, compressed or encrypted copies that a file system keeps beside the page
 * cache, and what overlayfs keeps in the layer below.
 */
import { type Gpa, type Gva, gpa, gva } from "../base/index.ts";
import { Budget, Inconsistent, isGuestFault } from "./lists.ts";
import { type Look, taggedPointer } from "./look.ts";
import { PAGE_SIZE } from "./memory.ts";
import { walkXArray, type XArrayEntry } from "./xarray.ts";

/**
 * Entries of the page cache that one reading may touch: 16 GiB in single pages. Beyond it a hostile tree wastes our
 * time.
 */
const MOST_ENTRIES = 2 ** 22;
/** Pages of a folio: 1 GiB, the largest page there is. A hostile order could claim any number. */
const LARGEST_FOLIO = 2 ** 18;
/** Bytes that are read at once. */
const CHUNK = 256 * 1024;
/** PG_uptodate, where the kernel's types do not name it. */
const UPTODATE = 2;
/** Times a reading begins anew because the tree changed: a guest that keeps changing it could go on for ever. */
const MOST_ATTEMPTS = 64;

export type Missing = "not in memory" | "not read yet" | "changing";

export type FilePart =
  | { readonly offset: number; readonly length: number; readonly bytes: Uint8Array; readonly missing?: undefined }
  | { readonly offset: number; readonly length: number; readonly bytes?: undefined; readonly missing: Missing };

/** Bytes of a file by its inode. Throws Unreadable, or VivError for want of types. */
export function fileSize(look: Look, inode: Gva): number {
  const { i_size } = look.offsets("files", "inode", "i_size");
  // A loff_t: what is negative is no size.
  return look.space.s32(inode, i_size + 4) < 0 ? 0 : look.space.u64(inode, i_size);
}

/**
 * A file's contents from `from` on and before `end`, in order and without gaps: parts of some 100 KiB at most that are
 * there, and ranges that are missing. Throws Unreadable where there is no such file any more, or VivError for want of
 * types; a tree that changes meanwhile ends in a missing range.
 */
export function* readFileParts(
  look: Look,
  inode: Gva,
  from = 0,
  end = fileSize(look, inode),
): Generator<FilePart, void> {
  const { i_mapping } = look.offsets("files", "inode", "i_mapping");
  const { i_pages } = look.offsets("files", "address_space", "i_pages");
  const mapping = look.space.pointer(inode, i_mapping);
  const array = gva(mapping + i_pages);
  const stop = Math.min(end, fileSize(look, inode));
  let at = from;
  for (let attempt = 0; at < stop; attempt++) {
    const begun = at;
    try {
      const budget = new Budget(MOST_ENTRIES);
      const lastPage = Math.ceil(stop / PAGE_SIZE) - 1;
      for (const entry of walkXArray(look, array, Math.floor(at / PAGE_SIZE), lastPage, budget)) {
        const start = Math.max(at, entry.index * PAGE_SIZE);
        if (start >= stop) break;
        if (start > at) yield missingPart(at, start, "not in memory");
        at = start;
        for (const part of entryParts(look, mapping, entry, start, stop)) {
          yield part;
          at = part.offset + part.length;
        }
      }
      if (at < stop) yield missingPart(at, stop, "not in memory");
      return;
    } catch (error) {
      if (!isGuestFault(error)) throw error;
      // What was given stays given; the rest is tried once more, as long as that leads on.
      if ((attempt > 0 && at === begun) || attempt === MOST_ATTEMPTS) {
        yield missingPart(at, stop, "changing");
        return;
      }
    }
  }
}

const missingPart = (from: number, end: number, missing: Missing): FilePart => ({
  offset: from,
  length: end - from,
  missing,
});

/** What one entry holds of the file from `from` on. */
function* entryParts(
  look: Look,
  mapping: Gva,
  entry: XArrayEntry,
  from: number,
  stop: number,
): Generator<FilePart, void> {
  const end = Math.min(stop, (entry.index + entry.count) * PAGE_SIZE);
  if (entry.pointer === 0) {
    // A value: where it was swapped to, or a shadow of what was thrown away.
    yield missingPart(from, end, "not in memory");
    return;
  }
  const frames = folio(look, mapping, entry);
  if (frames === undefined) {
    yield missingPart(from, end, "not read yet");
    return;
  }
  const base = frames - entry.index * PAGE_SIZE;
  for (let at = from; at < end; ) {
    const next = Math.min(end, at + CHUNK);
    const bytes = new Uint8Array(next - at);
    look.memory.read(gpa(base + at), bytes);
    // Reclaimed while it was copied: the bytes may be another's.
    checkHead(look, mapping, entry);
    yield { offset: at, length: bytes.length, bytes };
    at = next;
  }
}

/** Where a folio lies, verified page by page to belong to this place of this file; undefined: it is not filled yet. */
function folio(look: Look, mapping: Gva, entry: XArrayEntry): Gpa | undefined {
  const { space } = look;
  const P = look.offsets("files", "page", "flags", "compound_head");
  const size = look.sizeOf("files", "page");
  const head = entry.pointer;
  checkHead(look, mapping, entry);
  if (entry.count > LARGEST_FOLIO) throw new Inconsistent("a folio is too large");
  for (let i = 1; i < entry.count; i++) {
    const link = taggedPointer(space, gva(head + i * size), P.compound_head, 1);
    if (link.tag !== 1 || link.at !== head) throw new Inconsistent("a folio's pages do not belong together");
  }
  const frame = look.frame(head);
  const uptodate = look.enumerator("pageflags", "PG_uptodate") ?? UPTODATE;
  return (space.u32(head, P.flags) & (1 << uptodate)) !== 0 ? frame : undefined;
}

/** A folio's first page tells whose it is. */
function checkHead(look: Look, mapping: Gva, { pointer, index }: XArrayEntry): void {
  const P = look.offsets("files", "page", "mapping", "index");
  if (look.space.pointer(pointer, P.mapping) !== mapping || look.space.u64(pointer, P.index) !== index)
    throw new Inconsistent("a page belongs to another place");
}

export interface FileContents {
  /** The file's own size, of which `bytes` may be the beginning. */
  readonly size: number;
  /** What is missing is zero here, and listed. */
  readonly bytes: Uint8Array;
  readonly missing: readonly { readonly offset: number; readonly length: number; readonly why: Missing }[];
}

/** The first `most` bytes of a file at once. Throws as `readFileParts`. */
export function readFile(look: Look, inode: Gva, most: number): FileContents {
  const size = fileSize(look, inode);
  const bytes = new Uint8Array(Math.min(size, most));
  const missing: { offset: number; length: number; why: Missing }[] = [];
  for (const part of readFileParts(look, inode, 0, bytes.length)) {
    if (part.bytes) bytes.set(part.bytes, part.offset);
    else missing.push({ offset: part.offset, length: part.length, why: part.missing });
  }
  return { size, bytes, missing };
}
