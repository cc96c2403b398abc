/**
 * The guest's files by their paths, as far as its kernel remembers them: a walk over the dentry cache, through mounts
 * and symbolic links. Of what lives in memory only (initramfs, tmpfs, devtmpfs) that is everything; of what lies on a
 * disk, what was in use.
 */
import { type Gva, VivError } from "../base/index.ts";
import { childrenOf, type Dentry, findChild, parentOf, readDentry } from "./dentries.ts";
import { type Inode, readInode, readSymlink } from "./inodes.ts";
import { Budget, type Listing, readEach, readListing, tryRead } from "./lists.ts";
import type { Look } from "./look.ts";
import { listMounts, type Mount, rootOf, workingDirectoryOf } from "./mounts.ts";
import type { Place } from "./paths.ts";

/** Symbolic links on one way (MAXSYMLINKS in the kernel): they may form loops. */
const MOST_SYMLINKS = 40;
/** Components on one way, links and all: links to links could double them each time. */
const MOST_COMPONENTS = 4096;
/** Entries of a directory, or of all directories on a way. */
const MOST_ENTRIES = 2 ** 18;
/** File systems that keep all names in the dentry cache. */
const COMPLETE = new Set(["rootfs", "ramfs", "tmpfs", "devtmpfs"]);

export interface FoundFile {
  readonly place: Place;
  readonly inode: Inode;
  /** Its file system keeps all its names in memory. */
  readonly complete: boolean;
}

export interface DirectoryEntry {
  readonly name: string;
  readonly inode: Inode;
  /** Of a symbolic link, where it is in memory. */
  readonly target?: string;
}

/** The files one process sees. */
export class FileTree {
  readonly #look: Look;
  readonly #root: Place;
  readonly #start: Place;
  /** What is mounted, by the place it covers. */
  readonly #mounted = new Map<string, Place>();
  /** The place a mount covers, by its vfsmount. */
  readonly #covered = new Map<Gva, Place>();
  readonly #types = new Map<Gva, string>();

  /**
   * `process`: address of a task_struct, for its root, working directory and mounts. Throws VivError where it has none,
   * or for want of types.
   */
  constructor(look: Look, process: Gva) {
    const places = tryRead(() => ({ root: rootOf(look, process), start: workingDirectoryOf(look, process) }));
    if (!places) throw new VivError("guest.no-root", "this process has no root directory any more: it ended");
    this.#look = look;
    this.#root = places.root;
    this.#start = places.start;
    for (const mount of listMounts(look, process).rows) this.#add(mount);
  }

  /**
   * The file a path leads to. Throws VivError: it is not there (`guest.no-such-file`), not in the kernel's cache
   * (`guest.not-cached`), no directory on the way, too many links, or changing.
   */
  find(path: string, options: { readonly follow?: boolean } = {}): FoundFile {
    const found = tryRead(() => this.#walk(path, options.follow ?? true));
    if (!found) throw new VivError("guest.changing", `${path} can not be read now: the guest is changing it`);
    return found;
  }

  /** What the cache holds of a directory, by name. Throws VivError for want of types. */
  list(directory: FoundFile): Listing<DirectoryEntry> {
    const look = this.#look;
    const listing = readListing<DirectoryEntry>((rows, gaps) => {
      const read = (at: Gva): DirectoryEntry | undefined => {
        const dentry = readDentry(look, at);
        return dentry.inode === 0 || dentry.unhashed ? undefined : this.#entry(directory.place.mount, dentry);
      };
      readEach(childrenOf(look, directory.place.dentry, new Budget(MOST_ENTRIES)), read, rows, gaps, "entries");
    });
    const rows = [...listing.rows].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
    const gaps = directory.complete
      ? listing.gaps
      : [...listing.gaps, "only names in the kernel's cache: the directory may hold more"];
    return { rows, gaps };
  }

  #add(mount: Mount): void {
    this.#types.set(mount.at, mount.type);
    if (mount.parent === mount.at) return;
    const place = { mount: mount.parent, dentry: mount.mountpoint };
    this.#mounted.set(key(place), { mount: mount.at, dentry: mount.root });
    this.#covered.set(mount.at, place);
  }

  #entry(mount: Gva, dentry: Dentry): DirectoryEntry {
    const place = this.#cover({ mount, dentry: dentry.at });
    const covered = place.mount === mount ? dentry.inode : readDentry(this.#look, place.dentry).inode;
    const inode = readInode(this.#look, covered);
    const target = inode.type === "symlink" ? readSymlink(this.#look, inode) : undefined;
    return { name: dentry.name, inode, ...(target === undefined ? {} : { target }) };
  }

  /** The root of what is mounted on a place, or the place. */
  #cover(place: Place): Place {
    // A mount covers one place and each its own, so there are no loops but those a hostile guest makes.
    for (let i = 0; i <= this.#mounted.size; i++) {
      const next = this.#mounted.get(key(place));
      if (!next) break;
      place = next;
    }
    return place;
  }

  #parent(place: Place): Place {
    const look = this.#look;
    const { mnt_root } = look.offsets("paths", "vfsmount", "mnt_root");
    for (let i = 0; i <= this.#mounted.size; i++) {
      if (place.dentry === this.#root.dentry && place.mount === this.#root.mount) return place;
      if (place.dentry !== look.space.pointer(place.mount, mnt_root))
        return this.#cover({ mount: place.mount, dentry: parentOf(look, place.dentry) });
      const outer = this.#covered.get(place.mount);
      if (!outer) return place;
      place = outer;
    }
    return place;
  }

  #walk(path: string, follow: boolean): FoundFile {
    const look = this.#look;
    const budget = new Budget(MOST_ENTRIES);
    const todo = components(path);
    let place = path.startsWith("/") ? this.#cover(this.#root) : this.#start;
    let links = 0;
    for (let i = 0; todo.length > 0; i++) {
      if (i === MOST_COMPONENTS) throw new VivError("guest.path-too-long", `${path} is too long`);
      const name = todo.pop()!;
      const here = readInode(look, readDentry(look, place.dentry).inode);
      if (here.type !== "directory")
        throw new VivError("guest.no-directory", `${path} leads through a ${here.type}, which is no directory`);
      if (name === ".") continue;
      if (name === "..") {
        place = this.#parent(place);
        continue;
      }
      const dentry = findChild(look, place.dentry, name, budget);
      if (!dentry || dentry.inode === 0) throw this.#absent(path, name, place, dentry !== undefined);
      const next = this.#cover({ mount: place.mount, dentry: dentry.at });
      const inode = readInode(look, readDentry(look, next.dentry).inode);
      if (inode.type !== "symlink" || (todo.length === 0 && !follow)) {
        place = next;
        continue;
      }
      const target = readSymlink(look, inode);
      if (target === undefined)
        throw new VivError(
          "guest.not-cached",
          `${path}: where the symbolic link "${name}" leads is not in the guest's memory`,
        );
      if (++links > MOST_SYMLINKS)
        throw new VivError("guest.too-many-links", `${path} leads through too many symbolic links`);
      if (target.startsWith("/")) place = this.#cover(this.#root);
      todo.push(...components(target));
    }
    const inode = readInode(look, readDentry(look, place.dentry).inode);
    return { place, inode, complete: this.#isComplete(place) };
  }

  #isComplete(place: Place): boolean {
    return COMPLETE.has(this.#types.get(place.mount) ?? "");
  }

  #absent(path: string, name: string, place: Place, known: boolean): VivError {
    return known || this.#isComplete(place)
      ? new VivError("guest.no-such-file", `there is no "${name}" for ${path} in the guest`)
      : new VivError(
          "guest.not-cached",
          `"${name}" of ${path} is not in the guest's memory: it may be on its disk; what the guest itself opens is`,
        );
  }
}

/** Names of a path, the first last. */
const components = (path: string): string[] =>
  path
    .split("/")
    .filter((name) => name !== "")
    .reverse();

const key = (place: Place): string => `${place.mount} ${place.dentry}`;
