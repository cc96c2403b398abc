/** Mounts of a mount namespace (fs/mount.h, fs/namespace.c), as /proc/mounts shows them. */
import { type Gva, gva } from "../base/index.ts";
import { Budget, Inconsistent, type Listing, readEach, readListing, walkList } from "./lists.ts";
import type { Look } from "./look.ts";
import { type Place, pathOf } from "./paths.ts";

/** Mounts of a namespace: the kernel's own default limit (fs.mount-max) is 100,000. */
const MOST_MOUNTS = 2 ** 17;
/** Names of file systems and devices. */
const LONGEST_NAME = 4096;

/** Flags of a superblock (include/linux/fs.h) and of a mount (include/linux/mount.h), in the order of /proc/mounts. */
const SUPER_FLAGS = [
  { bit: 1 << 4, name: "sync" },
  { bit: 1 << 7, name: "dirsync" },
  { bit: 1 << 6, name: "mand" },
  { bit: 1 << 25, name: "lazytime" },
] as const;
const MOUNT_FLAGS = [
  { bit: 0x01, name: "nosuid" },
  { bit: 0x02, name: "nodev" },
  { bit: 0x04, name: "noexec" },
  { bit: 0x08, name: "noatime" },
  { bit: 0x10, name: "nodiratime" },
  { bit: 0x20, name: "relatime" },
  { bit: 0x80, name: "nosymfollow" },
] as const;
const SB_RDONLY = 1;
const MNT_READONLY = 0x40;
/** A reader's bookmark in the list, not a mount. */
const MNT_CURSOR = 0x1000_0000;

export interface Mount {
  /** Of its struct vfsmount, by which files refer to it. */
  readonly at: Gva;
  readonly id: number;
  /** The mount it is mounted on, and where; itself: the topmost. */
  readonly parent: Gva;
  readonly mountpoint: Gva;
  /** Its root directory. */
  readonly root: Gva;
  readonly device: string;
  readonly type: string;
  /** Where it is seen from the root; undefined: not below it. */
  readonly path: string | undefined;
  /** Flags of the mount and its file system; a file system's own options are not known. */
  readonly flags: readonly string[];
}

/**
 * The mounts of `process` (address of its task_struct), seen from its root. Throws VivError for want of types or
 * symbols.
 */
export function listMounts(look: Look, process: Gva): Listing<Mount> {
  return readListing((rows, gaps) => {
    const root = rootOf(look, process);
    readEach(walkMounts(look, process), (at) => readMount(look, at, root), rows, gaps, "mounts");
  });
}

/** Root directory of a task. Throws Unreadable, or VivError for want of types. */
export function rootOf(look: Look, task: Gva): Place {
  return placeIn(look, task, "root");
}

/** Working directory of a task. Throws as `rootOf`. */
export const workingDirectoryOf = (look: Look, task: Gva): Place => placeIn(look, task, "pwd");

function placeIn(look: Look, task: Gva, which: "root" | "pwd"): Place {
  const { fs } = look.offsets("paths", "task_struct", "fs");
  const F = look.offsets("paths", "fs_struct", `${which}.mnt`, `${which}.dentry`);
  const at = look.space.pointer(task, fs);
  return {
    mount: look.space.pointer(at, F[`${which}.mnt`]),
    dentry: look.space.pointer(at, F[`${which}.dentry`]),
  };
}

/** The struct mounts of a task's namespace, in the order of /proc/mounts. */
function* walkMounts(look: Look, task: Gva): Generator<Gva, void> {
  const { space } = look;
  const what = "mounts";
  const { nsproxy } = look.offsets(what, "task_struct", "nsproxy");
  const { mnt_ns } = look.offsets(what, "nsproxy", "mnt_ns");
  const { root } = look.offsets(what, "mnt_namespace", "root");
  const namespace = space.pointer(space.pointer(task, nsproxy), mnt_ns);
  const budget = new Budget(MOST_MOUNTS);
  const list = look.optional("mnt_namespace", "list");
  if (list !== undefined) {
    const { mnt_list } = look.offsets(what, "mount", "mnt_list");
    for (const link of walkList(space, gva(namespace + list), budget)) yield gva(link - mnt_list);
    return;
  }
  // Since 6.8 a tree by unique number holds them, which is the order; the mounts form a tree of their own besides.
  const { mnt_mounts, mnt_child, mnt_id_unique } = look.offsets(
    what,
    "mount",
    "mnt_mounts",
    "mnt_child",
    "mnt_id_unique",
  );
  const all = [space.pointer(namespace, root)];
  for (let i = 0; i < all.length; i++) {
    for (const link of walkList(space, gva(all[i]! + mnt_mounts), budget)) all.push(gva(link - mnt_child));
  }
  yield* all
    .map((at) => ({ at, id: space.u64(at, mnt_id_unique) }))
    .sort((a, b) => a.id - b.id)
    .map(({ at }) => at);
}

function readMount(look: Look, mount: Gva, root: Place): Mount | undefined {
  const { space } = look;
  const what = "mounts";
  const M = look.offsets(what, "mount", "mnt", "mnt_parent", "mnt_mountpoint", "mnt_devname", "mnt_id");
  const V = look.offsets(what, "vfsmount", "mnt_root", "mnt_sb", "mnt_flags");
  const S = look.offsets(what, "super_block", "s_type", "s_flags", "s_subtype");
  const { name } = look.offsets(what, "file_system_type", "name");
  const at = gva(mount + M.mnt);
  const flags = space.u32(at, V.mnt_flags);
  if ((flags & MNT_CURSOR) !== 0) return undefined;
  const superBlock = space.pointer(at, V.mnt_sb);
  const superFlags = space.u32(superBlock, S.s_flags);
  const type = look.text(space.pointer(space.pointer(superBlock, S.s_type), name), LONGEST_NAME);
  const subtype = look.textAt(space.pointer(superBlock, S.s_subtype), LONGEST_NAME);
  const parent = gva(space.pointer(mount, M.mnt_parent) + M.mnt);
  const mountRoot = space.pointer(at, V.mnt_root);
  if (type === "") throw new Inconsistent("a file system has no name");
  const readOnly = (flags & MNT_READONLY) !== 0 || (superFlags & SB_RDONLY) !== 0;
  return {
    at,
    id: space.u32(mount, M.mnt_id),
    parent,
    mountpoint: space.pointer(mount, M.mnt_mountpoint),
    root: mountRoot,
    device: look.textAt(space.pointer(mount, M.mnt_devname), LONGEST_NAME) || "none",
    type: subtype === "" ? type : `${type}.${subtype}`,
    path: pathOf(look, { mount: at, dentry: mountRoot }, root).inside,
    flags: [
      readOnly ? "ro" : "rw",
      ...SUPER_FLAGS.filter(({ bit }) => (superFlags & bit) !== 0).map((flag) => flag.name),
      ...MOUNT_FLAGS.filter(({ bit }) => (flags & bit) !== 0).map((flag) => flag.name),
    ],
  };
}
