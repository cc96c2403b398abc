import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Compression } from "../../image/index.ts";
import { archives } from "./archives.ts";

/** GNU tar and the compressors write what we read. */
const TOOLS: readonly [Compression, program: string | undefined][] = [
  ["none", undefined],
  ["gzip", "gzip"],
  ["xz", "xz"],
  ["zstd", "zstd"],
];
const has = (program: string): boolean => spawnSync(program, ["--version"]).status === 0;
const BIG = Buffer.from(Array.from({ length: 700_000 }, (_, i) => (i * i) >> 7));

describe.skipIf(!has("tar"))("unpacking (needs tar)", () => {
  let directory: string;
  let tar: Buffer;

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "viv-tar-"));
    mkdirSync(join(directory, "boot"));
    // Files of every kind of size, in this order, before and after the ones that are wanted.
    const files = { a: "first", empty: "", big: BIG, config: "# config\n", last: "last" };
    for (const [name, data] of Object.entries(files)) writeFileSync(join(directory, "boot", name), data);
    const names = Object.keys(files).map((name) => `./boot/${name}`);
    const words = ["-c", "--no-recursion", "-C", directory, "./boot", ...names];
    tar = spawnSync("tar", words, { maxBuffer: 2 ** 24 }).stdout;
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  const wanted = (path: string): string | undefined => /^\.\/boot\/(big|config|empty)$/.exec(path)?.[1];

  for (const [compression, program] of TOOLS) {
    const available = program === undefined || has(program);
    it.skipIf(!available)(`finds files in a tar with ${compression} (needs ${program ?? "nothing else"})`, async () => {
      const data = program ? spawnSync(program, ["-c"], { input: tar, maxBuffer: 2 ** 24 }).stdout : tar;
      const read: number[] = [];
      const files = await archives.extract(data, compression, wanted, 3, (done) => read.push(done));
      expect([...files.keys()].sort()).toEqual(["big", "config", "empty"]);
      expect(BIG.equals(files.get("big")!)).toBe(true);
      expect(Buffer.from(files.get("config")!).toString()).toBe("# config\n");
      expect(read[0]).toBe(0);
      expect(read).toEqual([...read].sort((a, b) => a - b));
    });

    it.skipIf(!available)(`does not hang on a damaged tar with ${compression}`, async () => {
      const whole = program ? spawnSync(program, ["-c"], { input: tar, maxBuffer: 2 ** 24 }).stdout : tar;
      const cut = whole.subarray(0, whole.length >> 1);
      const files = await archives.extract(cut, compression, wanted, 3, () => undefined).catch(() => new Map());
      expect(files.size).toBeLessThan(3);
      const noise = Buffer.from(whole).fill(0xa5, 600);
      const other = await archives.extract(noise, compression, wanted, 3, () => undefined).catch(() => new Map());
      expect(other.get("config")).toBeUndefined();
    });
  }
});
