/** Open files of a process, and directories as `ls -l` shows them. */
import { forTerminal } from "../escape.ts";
import type { DirectoryEntry } from "../file-tree.ts";
import { deviceNumbers, formatMode, type Inode } from "../inodes.ts";
import type { Listing } from "../lists.ts";
import type { OpenFile } from "../open-files.ts";
import { type Column, showGaps, showTable } from "./table.ts";

export const showOpenFiles = (listing: Listing<OpenFile>): string =>
  showTable(listing.rows, [
    { title: "FD", value: ({ fd }) => fd, right: true },
    { title: "ACCESS", value: ({ access }) => access },
    { title: "FLAGS", value: ({ flags }) => flags.join(",") },
    { title: "POSITION", value: ({ position }) => position, right: true },
    { title: "NAME", value: ({ name }) => name },
  ]) + showGaps(listing.gaps);

export function showDirectory(listing: Listing<DirectoryEntry>, users?: ReadonlyMap<number, string>): string {
  const columns: Column<DirectoryEntry>[] = [
    { title: "MODE", value: ({ inode }) => formatMode(inode.mode) },
    { title: "LINKS", value: ({ inode }) => inode.links, right: true },
    { title: "USER", value: ({ inode }) => users?.get(inode.uid) ?? inode.uid },
    { title: "GROUP", value: ({ inode }) => inode.gid },
    { title: "SIZE", value: ({ inode }) => sizeOf(inode), right: true },
    { title: "MODIFIED", value: ({ inode }) => formatTime(inode.modified) },
    {
      title: "NAME",
      value: ({ name, inode, target }) =>
        inode.type === "symlink" ? `${forTerminal(name)} -> ${target ?? "?"}` : name,
    },
  ];
  return showTable(listing.rows, columns) + showGaps(listing.gaps);
}

function sizeOf(inode: Inode): string {
  if (inode.type !== "character device" && inode.type !== "block device") return String(inode.size);
  const { major, minor } = deviceNumbers(inode.device);
  return `${major},${minor}`;
}

/** To the minute, in UTC. */
export function formatTime(seconds: number): string {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? "?" : date.toISOString().slice(0, 16).replace("T", " ");
}
