import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const MODULE = fileURLToPath(new URL("../../../dist/sys/node/kept-script.js", import.meta.url));

describe("scripts in several files", () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "viv-scripts-"));
    // Each requires the other.
    write("first.cjs", 'exports.word = "one"; const o = require("./second.cjs"); console.log(o.both(), o.path.sep);');
    write(
      "second.cjs",
      'const f = require("./first.cjs"); exports.path = require("node:path"); exports.both = () => [f.word, "two"].join(" ");',
    );
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  const write = (name: string, text: string) => writeFileSync(join(directory, name), text);
  const run = (cache = join(directory, "cache")) => {
    const start = `import(${JSON.stringify(MODULE)}).then((m) => m.runKeptFiles(${JSON.stringify(join(directory, "first.cjs"))}))`;
    const env = { ...process.env, XDG_CACHE_HOME: cache };
    return spawnSync(process.execPath, ["-e", start], { encoding: "utf8", env });
  };
  const scripts = () => join(directory, "cache/vivarium/scripts");

  it("run, and are kept each", () => {
    expect(run()).toMatchObject({ stdout: "one two /\n", stderr: "", status: 0 });
    const kept = readdirSync(scripts());
    expect(kept.map((name) => name.split("-")[0]).sort()).toEqual(["first.cjs", "second.cjs"]);
    expect(run()).toMatchObject({ stdout: "one two /\n", stderr: "", status: 0 });
    expect(readdirSync(scripts())).toEqual(kept);
  });

  it("run though what was kept is damaged", () => {
    run();
    const [first, second] = readdirSync(scripts()).map((name) => join(scripts(), name));
    truncateSync(first!, Math.floor(readFileSync(first!).length / 2));
    writeFileSync(second!, "no code");
    expect(run()).toMatchObject({ stdout: "one two /\n", stderr: "", status: 0 });
    expect(readdirSync(scripts())).toEqual([]);
  });

  it("run though nothing can be kept", () => {
    expect(run("/dev/null")).toMatchObject({ stdout: "one two /\n", stderr: "", status: 0 });
    mkdirSync(join(directory, "cache"));
    write("cache/vivarium", "a file");
    expect(run()).toMatchObject({ stdout: "one two /\n", stderr: "", status: 0 });
  });

  it("are named where they fail", () => {
    write("second.cjs", "\nthrow new Error('not this one');");
    expect(run()).toMatchObject({ stderr: expect.stringContaining(`${directory}/second.cjs:2`), status: 1 });
  });
});
