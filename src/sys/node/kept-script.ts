/**
 * Scripts with what V8 made of them before. It takes 40 ms to look through a megabyte of source, and as long again for those functions that run
 * soon; all of it is read from V8's code cache in 10.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { cachedDataVersionTag, setFlagsFromString } from "node:v8";
import { Script } from "node:vm";
import { cacheDirectory } from "./cache-directory.ts";

interface Kept {
  /** Where it is kept, of this build and by this V8 with these flags. */
  readonly path: string;
  /** What names begin with, of this build and of all. */
  readonly build: string;
  readonly name: string;
}

function keptOf(file: string): Kept {
  const { size, mtimeMs, ino } = statSync(file);
  const name = basename(file);
  const build = `${name}-${ino}-${size}-${mtimeMs}`;
  return { path: join(cacheDirectory(), "scripts", `${build}-${cachedDataVersionTag()}`), build, name };
}

/** All of it is compiled, not only what runs first, and kept. A cache that cannot be written costs the time to compile, nothing else. */
function compileAndKeep(source: string, filename: string, { path, build, name }: Kept): Script {
  setFlagsFromString("--no-lazy");
  const script = new Script(source, { filename });
  setFlagsFromString("--lazy");
  try {
    const directory = dirname(path);
    mkdirSync(directory, { recursive: true });
    // Of this build only.
    for (const other of readdirSync(directory))
      if (other.startsWith(name) && !other.startsWith(build)) rmSync(join(directory, other), { force: true });
    const temporary = `${path}.${process.pid}`;
    writeFileSync(temporary, script.createCachedData());
    renameSync(temporary, path);
  } catch {
    // A read-only home is no reason not to run.
  }
  return script;
}

/**
 * Runs a file: a script in a function's body. `mayKeep`: where nothing is kept of it yet it is, for which V8 is given flags that hold for the
 * whole process.
 */
export function runKept(file: string, require: (id: string) => unknown, mayKeep: boolean, exports = {}): void {
  const source = `(function (require, exports, __filename) {${readFileSync(file, "utf8")}\n})`;
  const kept = keptOf(file);
  let cachedData: Buffer | undefined;
  try {
    cachedData = readFileSync(kept.path);
  } catch {
    // The first time.
  }
  const isFirst = cachedData === undefined && mayKeep;
  const script = isFirst ? compileAndKeep(source, file, kept) : new Script(source, { filename: file, cachedData });
  // Damaged: the next one makes it anew.
  if (script.cachedDataRejected) rmSync(kept.path, { force: true });
  script.runInThisContext()(require, exports, file);
}

/** Runs a file of several that lie in one directory and require each other, each kept. */
export function runKeptFiles(file: string): void {
  const ofNode = createRequire(file);
  const modules = new Map<string, object>();
  const require = (id: string): unknown => {
    if (!id.startsWith("./")) return ofNode(id);
    let exports = modules.get(id);
    if (!exports) {
      exports = {};
      // Before it runs: what it requires may require it.
      modules.set(id, exports);
      runKept(join(dirname(file), id), require, true, exports);
    }
    return exports;
  };
  require(`./${basename(file)}`);
}
