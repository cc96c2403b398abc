import { chmodSync, chownSync, lstatSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openRegistry, registryPath, type Surroundings } from "./directory.ts";

const uid = process.getuid!();
const NOBODY = 65534;

describe("the registry's directory", () => {
  let root = "";
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "viv-registry-"));
    for (const name of ["tmp", "run", `run/${uid}`]) mkdirSync(join(root, name));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  const where = (runtime?: string): Surroundings => ({
    environment: runtime === undefined ? {} : { XDG_RUNTIME_DIR: runtime },
    uid,
    temporary: join(root, "tmp"),
    sessions: join(root, "run"),
  });

  it("is in the session's, or what would be the session's, or in the temporary directory", () => {
    mkdirSync(join(root, "mine"));
    expect(registryPath(where(join(root, "mine")))).toBe(join(root, "mine/vivarium"));
    expect(registryPath(where())).toBe(join(root, `run/${uid}/vivarium`));
    expect(registryPath(where("relative"))).toBe(join(root, `run/${uid}/vivarium`));
    rmSync(join(root, `run/${uid}`), { recursive: true });
    expect(registryPath(where(join(root, "gone")))).toBe(join(root, `tmp/vivarium-${uid}`));
  });

  it.skipIf(uid !== 0)("is not in a session that is another user's, as su and sudo leave it (needs root)", () => {
    mkdirSync(join(root, "theirs"));
    chownSync(join(root, "theirs"), NOBODY, NOBODY);
    expect(registryPath(where(join(root, "theirs")))).toBe(join(root, `run/${uid}/vivarium`));
  });

  it("is made for its owner alone, and only where that is asked for", () => {
    expect(openRegistry(false, where())).toBeUndefined();
    const path = openRegistry(true, where())!;
    expect(lstatSync(path).mode & 0o777).toBe(0o700);
    expect(openRegistry(false, where())).toBe(path);
    expect(openRegistry(true, where())).toBe(path);
  });

  const refused = expect.objectContaining({ code: "registry.unsafe" });
  it.each([0o701, 0o710, 0o704, 0o777, 0o720])("is refused where others may do something with it: %o", (mode) => {
    const path = openRegistry(true, where())!;
    chmodSync(path, mode);
    for (const make of [false, true]) expect(() => openRegistry(make, where())).toThrow(refused);
    expect(lstatSync(path).mode & 0o777).toBe(mode);
  });

  it("is refused where somebody has put a link or a file in its place", () => {
    const path = registryPath(where());
    mkdirSync(join(root, "elsewhere"), { mode: 0o700 });
    symlinkSync(join(root, "elsewhere"), path);
    for (const make of [false, true]) expect(() => openRegistry(make, where())).toThrow(refused);
    rmSync(path);
    writeFileSync(path, "", { mode: 0o600 });
    for (const make of [false, true]) expect(() => openRegistry(make, where())).toThrow(refused);
  });

  it.skipIf(uid !== 0)("is refused where it is another user's (needs root)", () => {
    const path = registryPath(where());
    mkdirSync(path, { mode: 0o700 });
    chownSync(path, NOBODY, NOBODY);
    for (const make of [false, true]) expect(() => openRegistry(make, where())).toThrow(/belongs to user 65534/);
  });

  it("says so where it cannot be made", () => {
    const { temporary, ...rest } = where();
    rmSync(join(root, "run"), { recursive: true });
    expect(() => openRegistry(true, { ...rest, temporary: join(temporary, "gone") })).toThrow(
      expect.objectContaining({ code: "registry.not-writable", message: expect.stringContaining("XDG_RUNTIME_DIR") }),
    );
  });
});
