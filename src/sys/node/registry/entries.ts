/**
 * The registry's files: NAME.json says which guest has the name, ID.sock is its control socket. A name is had by having its file, which
 * is linked there whole: one of two who want it gets it. The guest is there for as long as somebody listens at its socket; the kernel
 * sees to that when a process is killed, and whoever finds nobody listening clears up.
 */
import { linkSync, lstatSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { VivError } from "../../../base/index.ts";
import { GUEST_ENTRY, type GuestEntry } from "../../../vmm/registry/guest.ts";
import { isName } from "../../../vmm/registry/names.ts";

const ENTRY = ".json";
const SOCKET = ".sock";
const LOCK = ".lock";
const DRAFT = ".draft";
/** A lock is held for some system calls: one this old is that of a process that was killed. */
const STALE_LOCK_MS = 5_000;
const LOCK_RETRY_MS = 5;
/** What has no entry may be about to get one. */
const ORPHAN_MS = 60_000;
/** No entry of ours is longer: stops a file that is none from being read whole. */
const MAX_ENTRY = 16 * 1024;
/** sun_path of sockaddr_un, less its NUL (unix(7)). */
const MAX_SOCKET_PATH = 107;

export interface StoredEntry {
  readonly entry: GuestEntry;
  readonly file: string;
  /** Which file has the name now, should it change hands. */
  readonly inode: number;
}

/** Throws VivError `registry.path-too-long` where no socket can be there. */
export function socketPath(directory: string, id: string): string {
  const path = join(directory, id + SOCKET);
  if (Buffer.byteLength(path) <= MAX_SOCKET_PATH) return path;
  const message = `${path}: the path is longer than a socket's may be (${MAX_SOCKET_PATH} bytes): set XDG_RUNTIME_DIR to a shorter one`;
  throw new VivError("registry.path-too-long", message);
}

const codeOf = (error: unknown): unknown => (error instanceof Error && "code" in error ? error.code : undefined);

/** The entry of a name; undefined where there is none, or none of ours. */
export function readEntry(directory: string, name: string): StoredEntry | undefined {
  const file = join(directory, name + ENTRY);
  try {
    const { ino, size } = lstatSync(file);
    if (size > MAX_ENTRY) return undefined;
    const entry = GUEST_ENTRY.check(JSON.parse(readFileSync(file, "utf8")), file);
    return entry.name === name ? { entry, file, inode: ino } : undefined;
  } catch {
    return undefined;
  }
}

/** All there are, by name. */
export function readEntries(directory: string): readonly StoredEntry[] {
  const names = readdirSync(directory).filter((file) => file.endsWith(ENTRY));
  return names
    .map((file) => file.slice(0, -ENTRY.length))
    .filter(isName)
    .sort()
    .map((name) => readEntry(directory, name))
    .filter((stored) => stored !== undefined);
}

/** Gives the entry its name. False: another has it. */
export function linkEntry(directory: string, entry: GuestEntry): boolean {
  const draft = join(directory, `.${entry.id}${DRAFT}`);
  try {
    writeFileSync(draft, `${JSON.stringify(entry)}\n`, { mode: 0o600, flag: "wx" });
    linkSync(draft, join(directory, entry.name + ENTRY));
    return true;
  } catch (error) {
    if (codeOf(error) === "EEXIST") return false;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

/** The owner takes its guest out. */
export function unlinkEntry(directory: string, { name, id }: GuestEntry): void {
  if (readEntry(directory, name)?.entry.id === id) rmSync(join(directory, name + ENTRY), { force: true });
  rmSync(join(directory, id + SOCKET), { force: true });
}

/** Nobody listens there: the process that did is gone. A socket whose owner is too busy to answer is not that. */
export const isDead = (path: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(false);
    });
    socket.once("error", (error) => resolve(isRefusal(error)));
  });

export const isRefusal = (error: unknown): boolean => codeOf(error) === "ECONNREFUSED" || codeOf(error) === "ENOENT";

/** Takes out a guest whose process is gone. Does nothing where the name has changed hands meanwhile. */
export function sweep(directory: string, { entry, file, inode }: StoredEntry): Promise<void> {
  return locked(directory, () => {
    // Who has the name by another file than that may be alive.
    if (statSync(file, { throwIfNoEntry: false })?.ino !== inode) return;
    rmSync(file, { force: true });
    rmSync(join(directory, entry.id + SOCKET), { force: true });
  });
}

/** Clears away what processes left that were killed between two steps. */
export async function sweepOrphans(directory: string, entries: readonly StoredEntry[]): Promise<void> {
  const known = new Set(entries.map(({ entry }) => entry.id + SOCKET));
  for (const name of readdirSync(directory)) {
    const path = join(directory, name);
    const isOrphan = name.endsWith(DRAFT) || (name.endsWith(SOCKET) && !known.has(name));
    if (!isOrphan || age(path) < ORPHAN_MS) continue;
    if (name.endsWith(DRAFT) || (await isDead(path))) rmSync(path, { force: true });
  }
}

const age = (path: string): number => {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  return stat ? Date.now() - stat.mtimeMs : 0;
};

/** One process at a time does this, which must not wait for anything: a name is taken from the dead by one of those who want it. */
async function locked(directory: string, work: () => void): Promise<void> {
  const lock = join(directory, LOCK);
  for (;;) {
    try {
      writeFileSync(lock, "", { mode: 0o600, flag: "wx" });
      break;
    } catch (error) {
      if (codeOf(error) !== "EEXIST") throw error;
      if (age(lock) > STALE_LOCK_MS) rmSync(lock, { force: true });
      else await delay(LOCK_RETRY_MS);
    }
  }
  try {
    work();
  } finally {
    rmSync(lock, { force: true });
  }
}
