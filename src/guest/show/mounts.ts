/** Mounts as in /proc/mounts, as far as a file system's own options go, which only it knows. */
import { forTerminal } from "../escape.ts";
import type { Listing } from "../lists.ts";
import type { Mount } from "../mounts.ts";
import { showGaps } from "./table.ts";

export const showMounts = (listing: Listing<Mount>): string =>
  listing.rows
    .filter(({ path }) => path !== undefined)
    .map(({ device, path, type, flags }) => `${[device, path!, type].map(mangle).join(" ")} ${flags.join(",")} 0 0\n`)
    .join("") + showGaps(listing.gaps);

/** What would end a field stands as an octal number, as the kernel writes it. */
const mangle = (text: string): string =>
  forTerminal(text.replace(/[ \t\n\\#]/g, (character) => `\\${character.charCodeAt(0).toString(8).padStart(3, "0")}`));
