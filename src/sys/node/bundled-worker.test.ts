import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { WorkerSetting } from "./worker.ts";

const WORKER = new URL("../../../dist/sys/node/bundled-worker.js", import.meta.url);
const SCRIPT =
  "const { parentPort } = require('node:worker_threads'); parentPort.postMessage(WORD + __filename.length);";

describe("a worker of one file", () => {
  let directory: string;
  let bundle: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "viv-bundle-"));
    bundle = join(directory, "a.bundle.cjs");
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  const write = (word: string) => writeFileSync(bundle, SCRIPT.replace("WORD", JSON.stringify(word)));
  const run = (setting: WorkerSetting): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const env = { ...process.env, XDG_CACHE_HOME: directory };
      const worker = new Worker(WORKER, { workerData: setting, env });
      worker.once("message", resolve);
      worker.once("error", reject);
    });
  const kept = (): string[] =>
    readdirSync(join(directory, "vivarium/scripts")).map((name) => join(directory, "vivarium/scripts", name));

  it("runs as it is where V8 may not be given flags, and keeps nothing", async () => {
    write("word");
    expect(await run({ bundle })).toBe(`word${bundle.length}`);
    expect(readdirSync(directory)).toEqual(["a.bundle.cjs"]);
  });

  it("runs from what was kept of it, until it is another", async () => {
    write("one");
    expect(await run({ bundle, flags: [] })).toBe(`one${bundle.length}`);
    const [file] = kept();
    const { mtimeMs } = statSync(file!);
    expect(await run({ bundle, flags: [] })).toBe(`one${bundle.length}`);
    expect(kept()).toEqual([file]);
    expect(statSync(file!).mtimeMs).toBe(mtimeMs);
    write("two");
    utimesSync(bundle, 1, 1);
    expect(await run({ bundle, flags: [] })).toBe(`two${bundle.length}`);
    expect(kept()).toHaveLength(1);
    expect(kept()).not.toEqual([file]);
  });

  it("runs though what was kept is damaged", async () => {
    write("word");
    await run({ bundle, flags: [] });
    const [file] = kept();
    truncateSync(file!, Math.floor(readFileSync(file!).length / 2));
    expect(await run({ bundle, flags: [] })).toBe(`word${bundle.length}`);
    // It was thrown away, and is made anew.
    expect(kept()).toEqual([]);
    await run({ bundle, flags: [] });
    writeFileSync(file!, "no code");
    expect(await run({ bundle, flags: [] })).toBe(`word${bundle.length}`);
  });
});
