import { VivError } from "../../base/index.ts";

/** What the system's errors on our own files mean to the user. */
const MEANING: Readonly<Record<string, readonly [code: string, message: string]>> = {
  ENOSPC: ["guest.disk-full", "there is no space left: free some, or set XDG_CACHE_HOME"],
  EDQUOT: ["guest.disk-full", "your quota is used up: free some space, or set XDG_CACHE_HOME"],
  EACCES: ["cache.not-writable", "you may not write there: set XDG_CACHE_HOME to a directory of yours"],
  EPERM: ["cache.not-writable", "you may not write there: set XDG_CACHE_HOME to a directory of yours"],
  EROFS: ["cache.not-writable", "that file system is read-only: set XDG_CACHE_HOME to another"],
  ENOTDIR: ["cache.not-writable", "a part of that path is no directory: set XDG_CACHE_HOME to one"],
};

/** A VivError for an error of the file system that has a meaning to the user; anything else as it is. */
export function fileError(error: unknown, path: string): unknown {
  const meaning = error instanceof Error && "code" in error ? MEANING[String(error.code)] : undefined;
  return meaning ? new VivError(meaning[0], `${path}: ${meaning[1]}`, { cause: error }) : error;
}
