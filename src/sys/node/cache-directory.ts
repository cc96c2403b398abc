import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";

/** Where this user's caches are (XDG Base Directory Specification), ours among them. */
export function cacheDirectory(environment: NodeJS.ProcessEnv = process.env): string {
  const xdg = environment["XDG_CACHE_HOME"];
  return join(xdg !== undefined && isAbsolute(xdg) ? xdg : join(homedir(), ".cache"), "vivarium");
}
