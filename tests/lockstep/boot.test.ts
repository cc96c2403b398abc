/** The default guest, compiled and interpreted side by side up to its first command. `npm run lockstep` goes on from here. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";

const VIV = fileURLToPath(new URL("../../dist/cli/main.cjs", import.meta.url));
const CACHE = process.env["XDG_CACHE_HOME"] ?? join(process.env["HOME"] ?? "", ".cache");
const guestIsThere = existsSync(join(CACHE, "vivarium/images"));

describe.skipIf(!guestIsThere)("the default guest in lockstep (needs viv image build)", () => {
  it("boots without a difference", { timeout: 300_000 }, async () => {
    const args = ["run", "-q", "-m", "128M", "--jit", "on", "--lockstep", "20000", "--", "uname", "-m"];
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [VIV, ...args]);
    expect([stdout, stderr]).toEqual(["x86_64\n", ""]);
  });
});
