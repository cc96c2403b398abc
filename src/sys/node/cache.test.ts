import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DirectoryStore } from "./cache.ts";
import { cacheDirectory } from "./cache-directory.ts";

const MANIFEST = { name: "default", version: "6.1-1_1:1.35+b1", packages: { p: "1" }, built: 5 };
const FILES = new Map([["kernel", Buffer.from("k")]]);

describe("the image store", () => {
  let directory: string;
  let store: DirectoryStore;

  beforeEach(async () => {
    directory = join(await mkdtemp(join(tmpdir(), "viv-store-")), "images");
    store = new DirectoryStore(directory);
  });
  afterEach(() => rm(join(directory, ".."), { recursive: true, force: true }));

  it("is empty before it exists, keeps what is put and forgets what is removed", async () => {
    expect(await store.list()).toEqual([]);
    const image = await store.put(MANIFEST, FILES);
    expect(image.manifest).toEqual(MANIFEST);
    expect(Buffer.from(await image.read("kernel")).toString()).toBe("k");
    const [listed] = await new DirectoryStore(directory).list();
    expect([listed?.manifest, listed?.location]).toEqual([MANIFEST, image.location]);
    await store.remove(image);
    expect([await store.list(), await readdir(directory)]).toEqual([[], []]);
  });

  it("takes the same image from two writers at once, and leaves nothing else", async () => {
    const other = new DirectoryStore(directory);
    const [a, b] = await Promise.all([store.put(MANIFEST, FILES), other.put(MANIFEST, FILES)]);
    expect(a.location).toBe(b.location);
    expect((await readdir(directory)).length).toBe(1);
  });

  it("does not see an image that is not whole", async () => {
    await mkdir(join(directory, "default_1"), { recursive: true });
    await writeFile(join(directory, "default_1", "kernel"), "half");
    await mkdir(join(directory, "default_2"));
    await writeFile(join(directory, "default_2", "image.json"), '{"name": 5}');
    expect(await store.list()).toEqual([]);
  });

  it("sweeps up what a killed writer left, and nothing of a living one's", async () => {
    await mkdir(join(directory, ".tmp-old"), { recursive: true });
    await mkdir(join(directory, ".tmp-new"));
    await utimes(join(directory, ".tmp-old"), 0, 0);
    await store.put(MANIFEST, FILES);
    expect((await readdir(directory)).filter((n) => n.startsWith("."))).toEqual([".tmp-new"]);
  });

  it("lets one at a time do what is exclusive", async () => {
    const order: string[] = [];
    const turn = (name: string) =>
      new DirectoryStore(directory).exclusively(async () => {
        order.push(`${name} in`);
        await new Promise((resolve) => setImmediate(resolve));
        order.push(`${name} out`);
      });
    await Promise.all([turn("a"), turn("b"), turn("c")]);
    for (let i = 0; i < order.length; i += 2) expect(order[i + 1]).toBe(order[i]!.replace("in", "out"));
    expect(order.length).toBe(6);
    await expect(store.exclusively(() => Promise.reject(new Error("x")))).rejects.toThrow("x");
    expect(await store.exclusively(async () => 1)).toBe(1);
  });

  it("takes over the lock of a process that is gone", async () => {
    await mkdir(directory, { recursive: true });
    const { pid } = spawnSync("true");
    await writeFile(join(directory, ".lock"), String(pid));
    expect(await store.exclusively(async () => "in")).toBe("in");
  });

  it("says what to do where it cannot be written", async () => {
    await writeFile(join(directory, "..", "file"), "");
    const inFile = new DirectoryStore(join(directory, "..", "file", "images"));
    await expect(inFile.put(MANIFEST, FILES)).rejects.toMatchObject({ code: "cache.not-writable" });
  });
});

describe("the cache directory", () => {
  it("follows XDG_CACHE_HOME where that is absolute", () => {
    expect(cacheDirectory({ XDG_CACHE_HOME: "/c" })).toBe("/c/vivarium");
    expect(cacheDirectory({ XDG_CACHE_HOME: "relative" })).toMatch(/^\/.*\.cache\/vivarium$/);
    expect(cacheDirectory({})).toMatch(/\.cache\/vivarium$/);
  });
});
