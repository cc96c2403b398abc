/** The bounded part of the fuzz command, as everybody runs it. `npm run fuzz` goes on from here. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";

const run = promisify(execFile);
const ROOT = new URL("../..", import.meta.url);
/** About twenty seconds each. */
const COUNT = 12_000;
const LOOPS = 400;

describe("random bytes as guest code", () => {
  it("neither crash nor hang the host", { timeout: 300_000 }, async () => {
    const { stdout } = await run("npm", ["run", "--silent", "fuzz", "--", "--count", `${COUNT}`, "--seed", "2026"], {
      cwd: ROOT,
    });
    expect(stdout).toContain(`${COUNT} of ${COUNT} strings`);
    expect(stdout).toContain("0 failures");
  });

  it("do the same compiled and interpreted, in loops", { timeout: 300_000 }, async () => {
    const options = ["--lockstep", "--count", `${LOOPS}`, "--seed", "8"];
    const { stdout } = await run("npm", ["run", "--silent", "fuzz", "--", ...options], { cwd: ROOT });
    expect(stdout).toContain(`${LOOPS} of ${LOOPS} strings`);
    expect(stdout).toContain("0 failures");
  });
});
