/**
 * What a worker runs where all its modules are in one file (bundle/main.ts): that file, with what V8 made of it before. V8 takes 40 ms to look
 * through a megabyte of source, and as long again for those functions that run soon; all of it is read from its code cache in 10.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { cachedDataVersionTag, setFlagsFromString } from "node:v8";
import { Script } from "node:vm";
import { workerData } from "node:worker_threads";
import { cacheDirectory } from "./cache-directory.ts";
import type { WorkerSetting } from "./worker.ts";

const { bundle: file, flags } = workerData as WorkerSetting & { readonly bundle: string };
const { size, mtimeMs, ino } = statSync(file);
const name = basename(file);
const build = `${name}-${ino}-${size}-${mtimeMs}`;
/** The tag says which V8 that was, and with which flags. */
const kept = join(cacheDirectory(), "scripts", `${build}-${cachedDataVersionTag()}`);

/** All of it is compiled, not only what runs first, and kept. A cache that cannot be written costs the time to compile, nothing else. */
function compileAndKeep(source: string): Script {
  setFlagsFromString("--no-lazy");
  const script = new Script(source, { filename: file });
  setFlagsFromString("--lazy");
  try {
    const directory = dirname(kept);
    mkdirSync(directory, { recursive: true });
    // Of this build only.
    for (const other of readdirSync(directory))
      if (other.startsWith(name) && !other.startsWith(build)) rmSync(join(directory, other), { force: true });
    const temporary = `${kept}.${process.pid}`;
    writeFileSync(temporary, script.createCachedData());
    renameSync(temporary, kept);
  } catch {
    // A read-only home is no reason not to run.
  }
  return script;
}

function load(): Script {
  const source = `(function (require, __filename) {${readFileSync(file, "utf8")}\n})`;
  let cachedData: Buffer | undefined;
  try {
    cachedData = readFileSync(kept);
  } catch {
    // V8 is given flags for that, which hold for the whole process.
    if (flags) return compileAndKeep(source);
  }
  const script = new Script(source, { filename: file, cachedData });
  // Damaged: the next one makes it anew.
  if (script.cachedDataRejected) rmSync(kept, { force: true });
  return script;
}

load().runInThisContext()(createRequire(file), file);
