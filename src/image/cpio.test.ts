import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { type CpioEntry, writeCpio } from "./cpio.ts";
import { DEFAULT_GUEST } from "./guest/declaration.ts";
import { initramfs } from "./initramfs.ts";
import { utf8 } from "./text.ts";

const ENTRIES: CpioEntry[] = [
  { type: "directory", path: "etc", mode: 0o755 },
  { type: "file", path: "etc/name", mode: 0o640, data: utf8("vivarium\n") },
  { type: "symlink", path: "etc/link", target: "name" },
  { type: "character", path: "null", mode: 0o666, major: 1, minor: 3 },
  { type: "fifo", path: "pipe", mode: 0o600 },
];
const hasCpio = spawnSync("cpio", ["--version"]).status === 0;

describe("cpio newc", () => {
  it("writes the header that buffer-format.rst describes", () => {
    const archive = Buffer.from(writeCpio([{ type: "file", path: "ab", mode: 0o644, data: utf8("hello") }]));
    // magic, ino, mode, uid, gid, nlink, mtime, filesize, four device numbers, namesize, check, name and its padding
    expect(archive.subarray(0, 113).toString("latin1")).toBe(
      "070701" +
        "00000001000081a40000000000000000000000010000000000000005" +
        "00000000000000000000000000000000" +
        "0000000300000000" +
        "ab\0",
    );
    // The data starts at a multiple of four, and so does the next header.
    expect(archive.subarray(116, 121).toString()).toBe("hello");
    expect(archive.subarray(124, 130).toString()).toBe("070701");
    expect(archive.length % 4).toBe(0);
    expect(archive.toString("latin1")).toContain("TRAILER!!!\0");
  });

  it("depends on its entries alone", () => {
    expect(writeCpio(ENTRIES)).toEqual(writeCpio(structuredClone(ENTRIES)));
  });

  it("refuses absolute paths", () => {
    expect(() => writeCpio([{ type: "directory", path: "/etc", mode: 0o755 }])).toThrow(/relative/);
  });

  it.skipIf(!hasCpio)("is what GNU cpio reads (needs cpio)", () => {
    const { stdout } = spawnSync("cpio", ["--list", "--verbose", "--numeric-uid-gid", "--quiet"], {
      input: writeCpio(ENTRIES),
      env: { LC_ALL: "C", TZ: "UTC", PATH: process.env["PATH"] ?? "" },
      encoding: "utf8",
    });
    const lines = stdout
      .trim()
      .split("\n")
      .map((line) => line.replace(/ +/g, " "));
    expect(lines).toEqual([
      "drwxr-xr-x 2 0 0 0 Jan 1 1970 etc",
      "-rw-r----- 1 0 0 9 Jan 1 1970 etc/name",
      "lrwxrwxrwx 1 0 0 4 Jan 1 1970 etc/link -> name",
      "crw-rw-rw- 1 0 0 1, 3 Jan 1 1970 null",
      "prw------- 1 0 0 0 Jan 1 1970 pipe",
    ]);
  });
});

describe("the default guest's initramfs", () => {
  it("names every directory before what is in it, and nothing twice", () => {
    const seen = new Set<string>([""]);
    for (const { path } of DEFAULT_GUEST.root(new Uint8Array(1))) {
      expect(seen).toContain(path.split("/").slice(0, -1).join("/"));
      expect(seen).not.toContain(path);
      seen.add(path);
    }
    expect(seen).toContain("init");
  });

  it("holds busybox as it was given", () => {
    const busybox = utf8("the program itself");
    expect(Buffer.from(initramfs(DEFAULT_GUEST, busybox)).includes(Buffer.from(busybox))).toBe(true);
  });

  it("has scripts that a shell can parse", () => {
    for (const entry of DEFAULT_GUEST.root(new Uint8Array(0))) {
      if (entry.type !== "file" || !Buffer.from(entry.data).toString().startsWith("#!")) continue;
      const { status, stderr } = spawnSync("sh", ["-n"], { input: entry.data, encoding: "utf8" });
      expect([entry.path, status, stderr]).toEqual([entry.path, 0, ""]);
    }
  });
});
