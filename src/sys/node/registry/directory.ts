/**
 * Where the registry of this user's guests is: a directory that nobody else may enter. Who may enter it may do with the guests what
 * their owner may, so it is checked and not trusted: /tmp is everybody's.
 */
import { lstatSync, mkdirSync, type Stats } from "node:fs";
import { tmpdir } from "node:os";
import { isAbsolute, join } from "node:path";
import { VivError } from "../../../base/index.ts";

const PRIVATE = 0o700;
const OTHERS = 0o077;

/** Where things are looked for; tests bring others. */
export interface Surroundings {
  readonly environment: NodeJS.ProcessEnv;
  readonly uid: number;
  /** The system's directory for temporary files. */
  readonly temporary: string;
  /** Where login sessions have their users' directories. */
  readonly sessions: string;
}

export function surroundings(): Surroundings {
  const uid = process.getuid?.();
  if (uid === undefined) {
    throw new VivError("registry.unsupported", "this system has no users as Unix has them: guests have no names here");
  }
  return { environment: process.env, uid, temporary: tmpdir(), sessions: "/run/user" };
}

const statOf = (path: string): Stats | undefined => lstatSync(path, { throwIfNoEntry: false });

/** A session's directory that was another user's, and came here with su or sudo, is not ours (XDG Base Directory Specification). */
function isOurs(path: string, uid: number): boolean {
  const stat = statOf(path);
  return stat?.isDirectory() === true && stat.uid === uid;
}

/** Its path, whether or not it is there. */
export function registryPath({ environment, uid, temporary, sessions }: Surroundings = surroundings()): string {
  const runtime = environment["XDG_RUNTIME_DIR"];
  // A process without a session, cron's for one, has to find the guests of the user's sessions, too.
  for (const directory of [runtime, join(sessions, String(uid))]) {
    if (directory !== undefined && isAbsolute(directory) && isOurs(directory, uid)) return join(directory, "vivarium");
  }
  return join(temporary, `vivarium-${uid}`);
}

/**
 * The directory, or undefined where it is not there and not to be made. Throws VivError `registry.unsafe` where it is somebody else's,
 * no directory, or open to others, `registry.not-writable` where it cannot be made.
 */
export function openRegistry(make: boolean, where: Surroundings = surroundings()): string | undefined {
  const path = registryPath(where);
  if (make) {
    try {
      mkdirSync(path, { mode: PRIVATE });
    } catch (error) {
      if (!(error instanceof Error && "code" in error)) throw error;
      if (error.code !== "EEXIST") {
        const message = `${path}: the directory of this user's guests cannot be made (${String(error.code)}): set XDG_RUNTIME_DIR to a directory of yours`;
        throw new VivError("registry.not-writable", message, { cause: error });
      }
    }
  }
  const stat = statOf(path);
  if (!stat) return undefined;
  const why = !stat.isDirectory()
    ? "it is no directory"
    : stat.uid !== where.uid
      ? `it belongs to user ${stat.uid}`
      : (stat.mode & OTHERS) !== 0
        ? `others may enter it: chmod 700 ${path}`
        : undefined;
  if (why === undefined) return path;
  const message = `${path} is not safe to keep guests' sockets in: ${why}; or set XDG_RUNTIME_DIR to another directory of yours`;
  throw new VivError("registry.unsafe", message);
}
