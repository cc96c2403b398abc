/** Guests written by hand: older layouts, five levels of page tables, and memory that is made to mislead. */
import { describe, expect, it } from "vitest";
import { gva } from "../../src/base/index.ts";
import { readKernelLog } from "../../src/guest/dmesg.ts";
import { FileTree } from "../../src/guest/file-tree.ts";
import { Look } from "../../src/guest/look.ts";
import { listMemoryAreas } from "../../src/guest/maps.ts";
import { listMounts, rootOf } from "../../src/guest/mounts.ts";
import { listOpenFiles } from "../../src/guest/open-files.ts";
import { readFile, readFileParts } from "../../src/guest/page-cache.ts";
import { listProcesses } from "../../src/guest/tasks.ts";
import { lookAround } from "../fuzz-guest/inside.ts";
import { type Era, SyntheticGuest } from "./synthetic-inside.ts";

const ERAS: readonly Era[] = ["5.10", "6.1", "6.12"];

describe.each(ERAS)("a guest as %s lays it out", (era) => {
  it.each([4, 5] as const)("is read with %i levels of page tables", (levels) => {
    const guest = new SyntheticGuest(era, levels);
    const look = new Look(guest);
    const processes = listProcesses(look);
    expect(processes.gaps).toEqual([]);
    expect(
      processes.rows.map(({ pid, ppid, comm, threads, state }) => [pid, ppid, comm, threads.length, state]),
    ).toEqual([
      [1, 0, "task-1", 1, "S"],
      [2, 1, "task-2", 1, "S"],
      [3, 2, "task-3", 2, "S"],
    ]);
    expect(processes.rows[0]!.command).toEqual(["program", "argument"]);
    const root = rootOf(look, guest.init);
    const areas = listMemoryAreas(look, guest.mm, root);
    expect(areas.gaps).toEqual([]);
    expect(areas.rows.map(({ start, end, protection }) => [start, end, protection])).toEqual([
      [0x40_0000, 0x40_1000, "rw-p"],
      [0x60_0000, 0x60_3000, "rw-p"],
      [0x7f00_0000_0000, 0x7f00_0001_0000, "rw-p"],
    ]);
    expect(listOpenFiles(look, guest.init, root)).toMatchObject({
      rows: [
        { fd: 0, name: "/file" },
        { fd: 33, name: "/file" },
      ],
      gaps: [],
    });
    expect(listMounts(look, guest.init)).toMatchObject({
      rows: [{ device: "root", type: "tmpfs", path: "/", flags: ["rw"] }],
      gaps: [],
    });
    const files = new FileTree(look, guest.init);
    expect(files.find("/link").inode.number).toBe(2);
    expect(files.list(files.find("/")).rows.map(({ name, target }) => [name, target])).toEqual([
      ["file", undefined],
      ["link", "file"],
    ]);
    const { bytes, missing } = readFile(look, files.find("/file").inode.at, 2 ** 20);
    expect([bytes.length, bytes[4095], bytes[4096], bytes[8192], bytes[12288]]).toEqual([12293, 0xaa, 0, 0xcc, 0]);
    expect(missing).toEqual([
      { offset: 4096, length: 4096, why: "not in memory" },
      { offset: 12288, length: 5, why: "not in memory" },
    ]);
    const log = readKernelLog(look);
    expect(log.gaps).toEqual([]);
    expect(log.rows.map(({ sequence, level, text }) => [sequence, level, text])).toEqual(
      [0, 1, 2, 3].map((i) => [i, "info", `record ${i}`]),
    );
  });
});

/** What is to be found of a guest after something was done to it. */
function changed(era: Era, change: (guest: SyntheticGuest) => void): { guest: SyntheticGuest; look: Look } {
  const guest = new SyntheticGuest(era);
  change(guest);
  expect(lookAround(guest).reads).toBeGreaterThan(0);
  return { guest, look: new Look(guest) };
}

describe("hostile memory", () => {
  it("with a list of tasks that does not come back ends, and says so", () => {
    const { look } = changed("6.1", (guest) => {
      const link = guest.offset("task_struct", "tasks");
      // The last leads to the second.
      guest.write(guest.tasks[3]!, link, guest.tasks[1]! + link);
    });
    const { rows, gaps } = listProcesses(look);
    expect(rows.map(({ pid }) => pid)).toEqual([1, 2, 3]);
    expect(gaps).toEqual(["cut after 3: a list's link does not lead back"]);
  });

  it("with threads that all share one endless list ends", () => {
    const { look } = changed("6.12", (guest) => {
      const node = guest.offset("task_struct", "thread_node");
      const signal = guest.space.pointer(guest.tasks[2]!, guest.offset("task_struct", "signal"));
      const head = gva(signal + guest.offset("signal_struct", "thread_head"));
      guest.write(head, 0, guest.tasks[2]! + node);
      guest.write(guest.tasks[2]!, node, guest.tasks[2]! + node);
      guest.write(guest.tasks[2]!, node + 8, guest.tasks[2]! + node);
    });
    expect(listProcesses(look).gaps).toEqual(["1 processes changed while they were read"]);
    expect(listProcesses(look).rows.length).toBe(2);
  });

  it.each(["itself", "the root"])("with a maple tree whose node leads to %s ends", (where) => {
    const { guest, look } = changed("6.1", (guest) => {
      const to = where === "itself" ? guest.leafNode : guest.rootNode;
      guest.write(guest.rootNode, guest.offset("maple_arange_64", "slot"), to, 3 << 3);
      if (where === "itself") {
        guest.write(guest.leafNode, guest.offset("maple_arange_64", "slot"), to, 3 << 3);
        guest.write(guest.leafNode, guest.offset("maple_arange_64", "pivot"), -1);
        guest.write(guest.leafNode, 0, guest.leafNode, 6);
      }
    });
    const { rows, gaps } = listMemoryAreas(look, guest.mm, undefined);
    expect(rows).toEqual([]);
    expect(gaps).toEqual(["cut after 0: a maple tree's node is dead or not where it says"]);
  });

  it("with a list of areas that goes round ends", () => {
    const { guest, look } = changed("5.10", (guest) => {
      const first = guest.space.pointer(guest.mm, guest.offset("mm_struct", "mmap"));
      const next = guest.offset("vm_area_struct", "vm_next");
      guest.write(guest.space.pointer(first, next), next, first);
    });
    expect(listMemoryAreas(look, guest.mm, undefined)).toMatchObject({
      rows: [{ start: 0x40_0000 }, { start: 0x60_0000 }],
      gaps: ["cut after 2: memory areas do not rise"],
    });
  });

  it("with an XArray that holds itself gives what is sound, and no zeros for the rest", () => {
    const { guest, look } = changed("6.1", (guest) => {
      guest.slot(guest.cacheNode, 1, guest.cacheNode, 2);
    });
    const parts = [...readFileParts(look, guest.file.inode)];
    expect(parts.map(({ offset, length, missing }) => [offset, length, missing])).toEqual([
      [0, 4096, undefined],
      [4096, 2 * 4096 + 5, "changing"],
    ]);
  });

  it("with a page that is another file's does not show it", () => {
    const { guest, look } = changed("6.1", (guest) => {
      guest.slot(guest.cacheNode, 2, guest.page(guest.init, 2, 0xee));
    });
    const { bytes, missing } = readFile(look, guest.file.inode, 2 ** 20);
    expect(bytes.includes(0xee)).toBe(false);
    expect(missing.at(-1)).toMatchObject({ why: "changing" });
  });

  it("with a file that claims to be endless takes no more than was asked for", () => {
    const { guest, look } = changed("6.12", (guest) => guest.set(guest.file.inode, "inode", "i_size", 2 ** 62));
    const { size, bytes } = readFile(look, guest.file.inode, 10_000);
    expect([size, bytes.length]).toEqual([2 ** 62, 10_000]);
    let length = 0;
    for (const part of readFileParts(look, guest.file.inode)) length += part.length;
    expect(length).toBe(2 ** 62);
  });

  it("with a directory that is its own parent, far from any root, ends", () => {
    const { guest, look } = changed("6.12", (guest) => {
      const other = guest.makeDentry(guest.file.dentry, "x".repeat(255), guest.rootFile.inode);
      guest.set(guest.file.dentry, "dentry", "d_parent", other);
    });
    expect(listOpenFiles(look, guest.init, undefined)).toMatchObject({
      rows: [],
      gaps: ["2 files changed while they were read"],
    });
  });

  it.each([2 ** 32 - 1, 2 ** 20])("with a table of %i descriptors ends", (count) => {
    const { guest, look } = changed("6.1", (guest) => {
      const files = guest.space.pointer(guest.init, guest.offset("task_struct", "files"));
      guest.set(guest.space.pointer(files, guest.offset("files_struct", "fdt")), "fdtable", "max_fds", count);
    });
    // The bits behind the real table are whatever lies there.
    expect(listOpenFiles(look, guest.init, undefined).rows.length).toBeLessThan(100);
  });

  it("with a log of any size ends", () => {
    const { look } = changed("6.1", (guest) => {
      guest.set(guest.log, "printk_ringbuffer", "desc_ring.count_bits", 20);
      guest.set(guest.log, "printk_ringbuffer", "desc_ring.tail_id", 5);
    });
    expect(readKernelLog(look).rows).toEqual([]);
    const { look: larger } = changed("6.1", (guest) => {
      guest.set(guest.log, "printk_ringbuffer", "desc_ring.count_bits", 63);
    });
    expect(readKernelLog(larger)).toEqual({ rows: [], gaps: ["the log's ring is too large to be one"] });
  });

  it("with names full of controls is shown without them", () => {
    const { guest } = changed("6.1", (guest) => {
      guest.bytes(guest.init, guest.offset("task_struct", "comm"), Buffer.from("\x1b]0;x\x07\u202e"));
    });
    expect(listProcesses(new Look(guest)).rows[0]!.comm).toBe("\x1b]0;x\x07\u202e");
  });
});
