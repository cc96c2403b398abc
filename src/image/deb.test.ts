import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { arMembers, debData } from "./deb.ts";

/** ar(5), by hand. */
function ar(members: Record<string, string>): Buffer {
  const parts = ["!<arch>\n"];
  for (const [name, data] of Object.entries(members)) {
    const fields = [name.padEnd(16), "0".padEnd(12), "0".padEnd(6), "0".padEnd(6), "100644".padEnd(8)];
    parts.push(...fields, String(data.length).padEnd(10), "`\n", data, data.length % 2 ? "\n" : "");
  }
  return Buffer.from(parts.join(""), "latin1");
}

const DEB = { "debian-binary": "2.0\n", "control.tar.xz": "odd", "data.tar.xz": "the data" };

describe("a Debian package", () => {
  it("gives its data member and how that is compressed", () => {
    const { tar, compression } = debData(ar(DEB), "p");
    expect([Buffer.from(tar).toString(), compression]).toEqual(["the data", "xz"]);
    expect(debData(ar({ "data.tar.zst/": "x" }), "p").compression).toBe("zstd");
    expect(debData(ar({ "data.tar": "x" }), "p").compression).toBe("none");
  });

  it("is called broken where it is no package, has no data, or is cut anywhere", () => {
    const broken = { code: "guest.package-broken" };
    const whole = ar(DEB);
    expect(() => debData(Buffer.from("<html>"), "p")).toThrow(expect.objectContaining(broken));
    expect(() => debData(ar({ "debian-binary": "2.0\n" }), "p")).toThrow(expect.objectContaining(broken));
    for (let length = 0; length < whole.length; length++) {
      expect(() => debData(whole.subarray(0, length), "p")).toThrow(expect.objectContaining(broken));
    }
  });

  it("does not follow a size out of the archive", () => {
    const archive = ar(DEB);
    archive.write("9999999999", 8 + 48, "latin1");
    expect(() => debData(archive, "p")).toThrow(/damaged/);
    archive.write("-1        ", 8 + 48, "latin1");
    expect(() => debData(archive, "p")).toThrow(/damaged/);
  });

  const hasAr = spawnSync("ar", ["--version"]).status === 0;
  it.skipIf(!hasAr)("reads what binutils' ar wrote (needs ar)", () => {
    const directory = mkdtempSync(join(tmpdir(), "viv-ar-"));
    for (const [name, data] of Object.entries(DEB)) writeFileSync(join(directory, name), data);
    spawnSync("ar", ["qc", "p.deb", ...Object.keys(DEB)], { cwd: directory });
    const members = [...arMembers(readFileSync(join(directory, "p.deb")), "p")];
    rmSync(directory, { recursive: true });
    expect(Object.fromEntries(members.map((m) => [m.name, Buffer.from(m.data).toString()]))).toEqual(DEB);
  });
});
