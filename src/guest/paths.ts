/** Paths of what is open, mapped or mounted: d_path (fs/d_path.c), and the names of what has no path. */
import { type Gva, gva } from "../base/index.ts";
import { parentOf, readDentry } from "./dentries.ts";
import { Inconsistent } from "./lists.ts";
import type { Look } from "./look.ts";

/** Steps to the root, through mounts too: loops of parents have no end. */
const MOST_STEPS = 4096;
/** Of a path, as the kernel gives none that is longer (include/uapi/linux/limits.h). */
export const PATH_MAX = 4096;

/** A place in the tree of files: a directory entry, and the vfsmount through which it is seen. */
export interface Place {
  readonly mount: Gva;
  readonly dentry: Gva;
}

export interface Path {
  /** From the root it was asked for, or from the top of all mounts where it is not below that. */
  readonly text: string;
  /** The same where it is below the root. */
  readonly inside: string | undefined;
  /** What it had as its name is gone. */
  readonly deleted: boolean;
}

/** The path of a place as seen from `root`. Throws Unreadable, Inconsistent, or VivError for want of types. */
export function pathOf(look: Look, place: Place, root: Place | undefined): Path {
  const { space } = look;
  const M = look.offsets("paths", "mount", "mnt", "mnt_parent", "mnt_mountpoint");
  const { mnt_root } = look.offsets("paths", "vfsmount", "mnt_root");
  const parts: string[] = [];
  let { mount, dentry } = place;
  let inside = true;
  let length = 0;
  for (let i = 0; !(root && dentry === root.dentry && mount === root.mount); i++) {
    if (i === MOST_STEPS) throw new Inconsistent("a path has no end");
    if (dentry === space.pointer(mount, mnt_root)) {
      const outer = gva(space.pointer(gva(mount - M.mnt), M.mnt_parent) + M.mnt);
      if (outer === mount) {
        // The top of everything: outside, if a root was asked for.
        inside = root === undefined;
        break;
      }
      dentry = space.pointer(gva(mount - M.mnt), M.mnt_mountpoint);
      mount = outer;
      continue;
    }
    const parent = parentOf(look, dentry);
    const { name } = readDentry(look, dentry);
    length += name.length + 1;
    if (length > PATH_MAX) throw new Inconsistent("a path is too long");
    parts.push(name);
    if (parent === dentry) {
      // A file system that is mounted nowhere: memfd, System V shared memory, shared anonymous memory.
      inside = false;
      break;
    }
    dentry = parent;
  }
  const text = `/${parts.reverse().join("/")}`;
  const own = readDentry(look, place.dentry);
  return {
    text,
    inside: inside ? text : undefined,
    deleted: own.unhashed && parentOf(look, place.dentry) !== place.dentry,
  };
}

/** Magic numbers of file systems whose files have no path (include/uapi/linux/magic.h). */
export const SOCKFS_MAGIC = 0x534f_434b;
const ANON_INODE_FS_MAGIC = 0x0904_1934;
/** Those whose files have a number in its place. */
const NUMBERED = [
  { magic: 0x5049_5045, name: "pipe" },
  { magic: SOCKFS_MAGIC, name: "socket" },
  { magic: 0x6e73_6673, name: "namespace" },
] as const;

/**
 * Of a file that overlayfs opened below for one of its own, which has that one's path beside it (include/linux/fs.h):
 * FMODE_NOACCOUNT, and FMODE_BACKING, which changed places with 6.14 and its backports.
 */
const NOACCOUNT = 1 << 29;
const BACKING = (1 << 24) | (1 << 25);

/**
 * Where a file that stands for another one was opened; undefined: it stands for itself. Throws Unreadable, or VivError
 * for want of types.
 */
export function placeInFront(look: Look, file: Gva): Place | undefined {
  const mount = look.optional("backing_file", "user_path.mnt");
  const dentry = look.optional("backing_file", "user_path.dentry");
  if (mount === undefined || dentry === undefined) return undefined;
  const { f_mode } = look.offsets("open files", "file", "f_mode");
  const mode = look.space.u32(file, f_mode);
  if ((mode & NOACCOUNT) === 0 || (mode & BACKING) === 0) return undefined;
  const place = { mount: look.space.pointer(file, mount), dentry: look.space.pointer(file, dentry) };
  return place.mount === 0 || place.dentry === 0 ? undefined : place;
}

/** What an open file is called in /proc/PID/fd and /proc/PID/maps. Throws as `pathOf`. */
export function fileName(look: Look, file: Gva, root: Place | undefined): string {
  const { space } = look;
  const F = look.offsets("open files", "file", "f_path.dentry", "f_path.mnt", "f_inode");
  const I = look.offsets("open files", "inode", "i_sb", "i_ino");
  const { s_magic } = look.offsets("open files", "super_block", "s_magic");
  const place = placeInFront(look, file) ?? {
    mount: space.pointer(file, F["f_path.mnt"]),
    dentry: space.pointer(file, F["f_path.dentry"]),
  };
  const inode = space.pointer(file, F.f_inode);
  const magic = space.u64(space.pointer(inode, I.i_sb), s_magic);
  const numbered = NUMBERED.find((row) => row.magic === magic);
  if (numbered) return `${numbered.name}:[${space.u64(inode, I.i_ino)}]`;
  if (magic === ANON_INODE_FS_MAGIC) return `anon_inode:${readDentry(look, place.dentry).name}`;
  const path = pathOf(look, place, root);
  const nowhere = path.inside === undefined && parentOf(look, place.dentry) === place.dentry;
  return path.deleted || nowhere ? `${path.text} (deleted)` : path.text;
}
