import { chmod, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Progress } from "../../image/index.ts";
import { AptClient, failure, parseRecord } from "./packages.ts";

/** As `apt-cache show` prints it; shortened. */
const SHOWN = `Package: linux-image-cloud-amd64
Source: linux-signed-amd64 (6.1.192+2)
Version: 6.1.192-2
Depends: linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2), kmod | other:any
Size: 1504
Description: Linux for x86-64 cloud
 Version: not this one

Package: linux-image-cloud-amd64
Version: 6.1.1-1
`;

describe("a package's record", () => {
  it("is the first paragraph's, with the first of alternatives", () => {
    expect(parseRecord(SHOWN)).toEqual({
      name: "linux-image-cloud-amd64",
      version: "6.1.192-2",
      depends: ["linux-image-6.1.0-56-cloud-amd64", "kmod"],
      size: 1504,
    });
    expect(parseRecord("")).toBeUndefined();
  });
});

describe("what apt says", () => {
  it("is told apart by what the user can do", () => {
    const cases: [string, string][] = [
      ["W: x\nE: You don't have enough free space in /c.", "guest.disk-full"],
      ["E: Failed to fetch http://h/p.deb  404  Not Found [IP: ::1 80]", "guest.package-gone"],
      ["E: Version '1' for 'p' was not found", "guest.package-gone"],
      ["E: Failed to fetch http://h/p.deb  Temporary failure resolving 'h'", "guest.no-network"],
      ["E: Failed to fetch http://h/p.deb  Hash Sum mismatch", "guest.package-broken"],
      ["E: something new", "guest.package-client"],
    ];
    for (const [said, code] of cases) expect([said, failure(said, "p").code]).toEqual([said, code]);
    expect(failure("W: first\nE: the reason", "pkg").message).toMatch(/^pkg cannot be fetched \(the reason\)/);
  });
});

describe("the client", () => {
  let directory: string;
  let state: string;

  /** Programs of the given names and nothing else but the shell are on the PATH. */
  async function programs(scripts: Record<string, string>): Promise<void> {
    for (const [name, script] of Object.entries(scripts)) {
      await writeFile(join(directory, name), `#!/bin/sh\n${script}`);
      await chmod(join(directory, name), 0o755);
    }
    vi.stubEnv("PATH", directory);
  }

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "viv-apt-"));
    state = join(directory, "state");
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    await rm(directory, { recursive: true });
  });
  const record = { name: "p", version: "1:2", depends: [], size: 200 };

  it("says so where there is no apt", async () => {
    await programs({});
    const show = new AptClient(state).show("p", () => undefined);
    await expect(show).rejects.toMatchObject({ code: "guest.no-package-client" });
    await expect(show).rejects.toThrow(/--kernel.*--initrd/);
  });

  it("fetches the version it was told, reports progress and leaves nothing behind", async () => {
    await programs({
      "apt-get": `for last; do :; done
        echo "dlstatus:1:50.00:Retrieving" >&3
        [ "$last" = p=1:2 ] && printf contents >p_1%3a2_amd64.deb`,
    });
    const progress: Progress[] = [];
    const data = await new AptClient(state).fetch(record, (p) => progress.push(p));
    expect(Buffer.from(data).toString()).toBe("contents");
    expect(progress.map((p) => [p.stage, p.done, p.total])).toEqual([
      ["download", 0, 200],
      ["download", 100, 200],
      ["download", 200, 200],
    ]);
    expect((await readdir(state)).filter((n) => n.startsWith("download"))).toEqual([]);
  });

  it("throws what apt complained of", async () => {
    await programs({ "apt-get": "echo 'E: Failed to fetch x  Could not connect' >&2; exit 100" });
    await expect(new AptClient(state).fetch(record, () => undefined)).rejects.toMatchObject({
      code: "guest.no-network",
    });
  });

  it("makes lists of its own where the system's do not know a package", async () => {
    await programs({
      // Knows the package once its own lists are there.
      "apt-cache": `[ -e state/lists/x_Packages ] || exit 100
        printf 'Package: p\\nVersion: 2\\nSize: 3\\n'`,
      "apt-get": "case $* in *update) : >state/lists/x_Packages; exit 100 ;; esac",
    });
    const progress: Progress[] = [];
    const shown = await new AptClient(state).show("p", (p) => progress.push(p));
    expect(shown).toEqual({ name: "p", version: "2", depends: [], size: 3 });
    expect(new Set(progress.map((p) => p.stage))).toEqual(new Set(["lists"]));
  });

  it("tells a package that nobody has from a network that is not there", async () => {
    await programs({ "apt-cache": "exit 100", "apt-get": ": >state/lists/x_Packages" });
    const none = new AptClient(state).show("p", () => undefined);
    await expect(none).rejects.toMatchObject({ code: "guest.package-missing" });
    await rm(join(state, "state"), { recursive: true });
    await programs({ "apt-get": "echo 'E: Temporary failure resolving h' >&2; exit 100" });
    const offline = new AptClient(state).show("p", () => undefined);
    await expect(offline).rejects.toMatchObject({ code: "guest.no-network" });
  });
});
