import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { workerFile } from "./worker.ts";

describe("the worker's file", () => {
  let dist: string;
  const write = (path: string, time: number): void => {
    const file = join(dist, path);
    writeFileSync(file, "");
    utimesSync(file, time, time);
  };
  const chosen = (): string => basename(workerFile(pathToFileURL(`${dist}/`), "machine").pathname);
  beforeEach(() => {
    dist = mkdtempSync(join(tmpdir(), "viv-dist-"));
    mkdirSync(join(dist, "sys/node"), { recursive: true });
    mkdirSync(join(dist, "cpu"));
    write("sys/node/machine-worker.js", 100);
  });
  afterEach(() => rmSync(dist, { recursive: true }));

  it("is the bundle, in a package without the compiler's files, too", () => {
    write("sys/node/machine-worker.bundle.cjs", 200);
    expect(chosen()).toBe("machine-worker.bundle.cjs");
    write("cpu/.tsbuildinfo", 150);
    write("sys/node/.tsbuildinfo", 200);
    expect(chosen()).toBe("machine-worker.bundle.cjs");
  });

  it("is the modules where there is no bundle, and where one of them was compiled since", () => {
    expect(chosen()).toBe("machine-worker.js");
    write("sys/node/machine-worker.bundle.cjs", 200);
    write("cpu/.tsbuildinfo", 201);
    expect(chosen()).toBe("machine-worker.js");
    write("cpu/.tsbuildinfo", 150);
    write("sys/node/.tsbuildinfo", 201);
    expect(chosen()).toBe("machine-worker.js");
  });
});
