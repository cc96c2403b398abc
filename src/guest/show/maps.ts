/** Memory areas, character by character as in /proc/PID/maps. */
import { forTerminal } from "../escape.ts";
import { deviceNumbers } from "../inodes.ts";
import type { Listing } from "../lists.ts";
import type { MemoryArea } from "../maps.ts";
import { formatGva } from "../memory.ts";
import { showGaps } from "./table.ts";

/** Column that names begin in. */
const NAME_COLUMN = 73;

export const showMaps = (listing: Listing<MemoryArea>): string =>
  listing.rows.map((area) => `${showArea(area)}\n`).join("") + showGaps(listing.gaps);

function showArea(area: MemoryArea): string {
  const { major, minor } = deviceNumbers(area.device);
  const line = [
    `${address(area.start)}-${address(area.end)}`,
    area.protection,
    hex(area.offset, 8),
    `${hex(major, 2)}:${hex(minor, 2)}`,
    area.inode,
  ].join(" ");
  // The kernel leaves a space behind the number of what has no name.
  return area.name === "" ? `${line} ` : `${line.padEnd(NAME_COLUMN - 1)} ${forTerminal(area.name)}`;
}

const address = (at: number): string => formatGva(at).replace(/^0{1,8}/, "");
const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, "0");
