/** The command in few files (bundle/main.ts): all it needs to ask guests is in them. */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const PARTS = ["package.json", "dist/cli/main.cjs", "dist/cli/bundle"];

let directory = "";
const viv = (...args: readonly string[]) =>
  spawnSync(process.execPath, [join(directory, "dist/cli/main.cjs"), ...args], {
    encoding: "utf8",
    env: { ...process.env, XDG_RUNTIME_DIR: directory },
  });

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "viv-"));
  for (const part of PARTS) {
    mkdirSync(join(directory, part, ".."), { recursive: true });
    cpSync(join(ROOT, part), join(directory, part), { recursive: true, preserveTimestamps: true });
  }
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

it("needs no other module to ask guests", () => {
  const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { version: string };
  expect(viv("--version")).toMatchObject({ stdout: `${version}\n`, status: 0 });
  expect(viv("ps", "--json")).toMatchObject({ stdout: "[]\n", status: 0 });
  for (const words of [
    ["inspect", "web", "tasks"],
    ["perf", "record", "web"],
    ["perf", "stat", "web"],
    ["stop", "web"],
    ["logs", "web"],
  ]) {
    expect(viv(...words)).toMatchObject({ stderr: expect.stringMatching(/^viv: .*web.*\n$/), status: 1 });
  }
});

it("is passed over where something was compiled since", () => {
  const compiled = join(directory, "dist/cli/.tsbuildinfo");
  writeFileSync(compiled, "");
  utimesSync(compiled, Date.now() / 1000 + 60, Date.now() / 1000 + 60);
  expect(viv("--version").stderr).toContain("dist/cli/start.js");
  rmSync(compiled);
});
