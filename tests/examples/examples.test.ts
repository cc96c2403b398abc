/** The examples, built and run; and that the README shows what is run. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, it } from "vitest";

const LONGEST_RUN_MS = 50_000;
const at = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), "vivarium-examples-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function run(name: string, ...args: readonly string[]): string {
  const { stdout, stderr, status } = spawnSync(process.execPath, [at(`dist/examples/${name}.js`), ...args], {
    encoding: "utf8",
    cwd: scratch,
    env: { ...process.env, XDG_RUNTIME_DIR: scratch },
    timeout: LONGEST_RUN_MS,
  });
  expect({ stderr, status }).toEqual({ stderr: "", status: 0 });
  return stdout;
}

it("runs commands in a guest", () => {
  expect(run("run")).toMatch(/^Linux 6\S+ x86_64\nsort ended with 0 and wrote "8\\n9\\n10\\n"\n$/);
});

it("looks into a guest and profiles it, as the README shows", () => {
  const [, shown] = /begins here\.\n(.*)\/\/ And ends here/s.exec(readFileSync(at("examples/inside.ts"), "utf8"))!;
  expect(readFileSync(at("README.md"), "utf8")).toContain(`\`\`\`ts\n${shown!.trim()}\n\`\`\`\n`);

  const output = run("inside", "recording");
  expect(output).toMatch(/^1 init S$/m);
  expect(output).toMatch(/^\d+ (md5sum|sh) R$/m);
  expect(output).toMatch(/^entry_SYSCALL_64_after_hwframe kernel$/m);
  expect(output).toMatch(/^\S+;md5sum;.*;entry_SYSCALL_64_after_hwframe_\[k\].* \d+$/m);
  expect(output).toMatch(/^operation wrmsr \d+ \d+ ns$/m);
  expect(output).toMatch(/^root:x:0:0:/m);
  expect(readdirSync(join(scratch, "recording"))).toEqual(expect.arrayContaining(["data", "profile"]));
});
