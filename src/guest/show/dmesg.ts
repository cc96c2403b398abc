/** The kernel's log as `dmesg` shows it. */
import type { LogRecord } from "../dmesg.ts";
import { forTerminal } from "../escape.ts";
import type { Listing } from "../lists.ts";
import { showGaps } from "./table.ts";

export const showKernelLog = (listing: Listing<LogRecord>): string =>
  listing.rows.map(showRecord).join("") + showGaps(listing.gaps);

function showRecord({ time, text }: LogRecord): string {
  const microseconds = Math.floor(time / 1000);
  const seconds = String(Math.floor(microseconds / 1e6)).padStart(5);
  const stamp = `[${seconds}.${String(microseconds % 1e6).padStart(6, "0")}]`;
  // A tab is as harmless as a space; a newline begins a line with the same time.
  return text
    .split("\n")
    .map((line) => `${stamp} ${line.split("\t").map(forTerminal).join("\t")}\n`)
    .join("");
}
