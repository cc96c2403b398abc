import { join } from "node:path";
import type { GuestPorts } from "../../image/index.ts";
import { archives } from "./archives.ts";
import { DirectoryStore } from "./cache.ts";
import { cacheDirectory } from "./cache-directory.ts";
import { AptClient } from "./packages.ts";

/** What `buildDefaultGuest` needs of a Node host; everything is kept below `directory`. */
export function guestPorts(directory: string = cacheDirectory()): GuestPorts {
  return {
    packages: new AptClient(join(directory, "apt")),
    archives,
    store: new DirectoryStore(join(directory, "images")),
    wallTime: () => Date.now(),
  };
}
