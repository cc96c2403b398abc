import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ImageSource } from "../../machine/boot/index.ts";
import { OpenFiles } from "./files.ts";

const text = (file: ImageSource): string => new TextDecoder().decode(file.subarray(0, file.length));

describe("files that a machine boots from", () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "viv-files-"));
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it("are the same at each boot, whatever has become of their names", () => {
    const path = join(directory, "kernel");
    const files = new OpenFiles();
    writeFileSync(path, "as it was");
    expect(text(files.read(path, "kernel"))).toBe("as it was");
    rmSync(path);
    expect(text(files.read(path, "kernel"))).toBe("as it was");
    writeFileSync(path, "another");
    expect(text(files.read(path, "kernel"))).toBe("as it was");
    expect(text(new OpenFiles().read(path, "kernel"))).toBe("another");
  });

  it("are read in parts, into shared memory too", () => {
    const path = join(directory, "parts");
    writeFileSync(path, "from here to there");
    const file = new OpenFiles().read(path, "kernel");
    const target = new Uint8Array(new SharedArrayBuffer(4));
    file.readInto?.(target, 5);
    expect(String.fromCharCode(...target, ...file.subarray(13))).toBe("herethere");
  });

  it("are not taken for whole when they become shorter", () => {
    const path = join(directory, "shorter");
    writeFileSync(path, "it was longer");
    const file = new OpenFiles().read(path, "kernel");
    truncateSync(path, 5);
    expect(() => file.subarray(0, file.length)).toThrow(expect.objectContaining({ code: "file.changed" }));
  });

  it("may be pipes, which are read but once", () => {
    const path = join(directory, "pipe");
    execFileSync("mkfifo", [path]);
    spawn("sh", ["-c", 'printf "what came" > "$0"', path]);
    const files = new OpenFiles();
    expect(text(files.read(path, "initrd"))).toBe("what came");
    expect(text(files.read(path, "initrd"))).toBe("what came");
  });

  it("may be larger than any guest", () => {
    const path = join(directory, "sparse");
    writeFileSync(path, "");
    truncateSync(path, 2 ** 33);
    expect(() => new OpenFiles().read(path, "initrd")).toThrow(expect.objectContaining({ code: "file.too-large" }));
  });

  it.each([
    ["none", "file.not-found", /initrd .*none: no such file/],
    [".", "file.not-a-file", /initrd .*: that is a directory, not a file/],
  ])("have an error that says what is wrong: %s", (name, code, message) => {
    const read = () => new OpenFiles().read(join(directory, name), "initrd");
    expect(read).toThrow(expect.objectContaining({ code, message: expect.stringMatching(message) }));
  });
});
