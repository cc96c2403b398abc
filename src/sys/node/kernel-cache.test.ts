import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bzImage, elf, relocationTables } from "../../../tests/kernel-images.ts";
import { unpackedKernel } from "./kernel-cache.ts";

const plain = elf({
  bits: 64,
  entry: 0x1000000,
  segments: [{ vaddr: 0xffffffff81000000n, paddr: 0x1000000, bytes: new Uint8Array(0x4000).fill(0xf4) }],
});
const vmlinux = Buffer.concat([plain, relocationTables([], [], [])]);

const packed = (content: Uint8Array): Uint8Array => {
  const payload = gzipSync(content);
  const kernel = Buffer.concat([new Uint8Array(0x400), payload]);
  return bzImage({ kernel, payload: { offset: 0x400, length: payload.length } });
};

describe("a kernel's file", () => {
  let directory: string;
  let cache: string;
  let count = 0;
  const file = (content: Uint8Array): string => {
    const path = join(directory, `kernel-${count++}`);
    writeFileSync(path, content);
    return path;
  };
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "viv-kernels-"));
    cache = join(directory, "cache");
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it("is unpacked once, and anew when it changes", async () => {
    const path = file(packed(vmlinux));
    const kept = await unpackedKernel(path, cache);
    expect(kept).not.toBe(path);
    expect(readFileSync(kept)).toEqual(vmlinux);
    const { mtimeMs, ino } = statSync(kept);
    expect(await unpackedKernel(path, cache)).toBe(kept);
    expect(statSync(kept).ino).toBe(ino);
    expect(statSync(kept).mtimeMs).toBeGreaterThanOrEqual(mtimeMs);
    writeFileSync(path, packed(Buffer.concat([plain, relocationTables([], [], [0x81000000])])));
    expect(await unpackedKernel(path, cache)).not.toBe(kept);
    expect(readdirSync(cache).filter((name) => name.startsWith("."))).toEqual([]);
  });

  it("is booted as it is where it is no bzImage, is damaged, or holds no kernel that could be moved", async () => {
    const damaged = packed(vmlinux);
    damaged.fill(0xff, damaged.length - 200);
    for (const content of [vmlinux, new Uint8Array(10), damaged, packed(plain), packed(new Uint8Array(99))]) {
      const path = file(content);
      expect(await unpackedKernel(path, cache)).toBe(path);
      expect(await unpackedKernel(path, cache)).toBe(path);
    }
    expect(await unpackedKernel(join(directory, "none"), cache)).toBe(join(directory, "none"));
  });

  it("is neither opened nor read where it is a pipe", async () => {
    const path = join(directory, "pipe");
    execFileSync("mkfifo", [path]);
    expect(await unpackedKernel(path, cache)).toBe(path);
  });

  it("is booted as it is where nothing can be kept", async () => {
    const path = file(packed(vmlinux));
    const taken = join(directory, "taken");
    writeFileSync(taken, "");
    expect(await unpackedKernel(path, join(taken, "kernels"))).toBe(path);
  });

  it("goes when four others were booted since", async () => {
    const own = join(directory, "few");
    mkdirSync(own);
    const kept: string[] = [];
    for (let n = 0; n < 5; n++) {
      const path = await unpackedKernel(file(packed(vmlinux)), own);
      kept.push(path);
      utimesSync(path, 1000 + n, 1000 + n);
    }
    await unpackedKernel(file(packed(vmlinux)), own);
    expect(readdirSync(own)).toHaveLength(4);
    expect(readdirSync(own)).not.toContain(kept[1]!.slice(own.length + 1));
  });
});
