/** Looking into guests from outside: the built command, against guests of other processes. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const VIV = fileURLToPath(new URL("../../dist/cli/main.cjs", import.meta.url));
const LONGEST_RUN_MS = 50_000;
const BUSY = ["sh", "-c", "while true; do md5sum /bin/busybox >/dev/null; done"];

let directory = "";
function viv(...args: readonly string[]) {
  const environment = { ...process.env, XDG_RUNTIME_DIR: directory };
  const options = { encoding: "utf8", cwd: directory, env: environment, timeout: LONGEST_RUN_MS } as const;
  return spawnSync(process.execPath, [VIV, ...args], options);
}
/** What a command prints that succeeds. */
function out(...args: readonly string[]): string {
  const { stdout, stderr, status } = viv(...args);
  expect({ args, stderr, status }).toMatchObject({ status: 0 });
  return stdout;
}

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "viv-"));
  out("run", "-d", "--name", "web", "-m", "128M", "--", ...BUSY);
  out("run", "-d", "--name", "shut", "-m", "128M", "--opaque", "--", ...BUSY);
  // Both are up, and busy.
  const busy = () => viv("inspect", "web", "tasks").stdout.includes("md5sum");
  const shut = () => viv("logs", "shut").status === 0 && viv("exec", "-n", "shut", "--", "true").status === 0;
  for (let i = 0; i < 100 && !(busy() && shut()); i++)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
}, 120_000);
afterAll(() => {
  viv("kill", "web", "shut");
  rmSync(directory, { recursive: true, force: true });
});

describe("viv inspect", () => {
  it("lists what runs inside", () => {
    const { rows } = JSON.parse(out("inspect", "web", "tasks", "--json")) as {
      rows: { pid: number; command: string[] }[];
    };
    expect(rows.find(({ pid }) => pid === 1)!.command.join(" ")).toContain("init");
    expect(out("inspect", "web", "tasks", "--tree")).toMatch(/\\_ .*md5sum \/bin\/busybox|sh -c while true/);
    expect(out("inspect", "web", "stack", "1")).toContain("entry_SYSCALL_64_after_hwframe");
    expect(out("inspect", "web", "maps", "1")).toMatch(/r-xp .*\/bin\/busybox\n/);
    expect(out("inspect", "web", "ls", "/etc")).toContain("passwd");
    expect(out("inspect", "web", "cat", "/etc/passwd")).toBe(out("exec", "-n", "web", "--", "cat", "/etc/passwd"));
    expect(out("inspect", "web", "mounts")).toContain("proc /proc proc");
    expect(out("inspect", "web", "dmesg")).toContain("Linux version");
    expect(out("inspect", "web", "net")).toContain("127.0.0.1/8");
  });
  it("shows a guest's claims in the list of guests", () => {
    viv("ps");
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000);
    expect(out("ps")).toMatch(/web .* vivarium +6\.1\.0-/);
    expect(out("ps")).toMatch(/shut .* - +-\n/);
  });
  it("says in one line what is wrong", () => {
    for (const [args, status, message] of [
      [["inspect", "nobody", "tasks"], 1, /^viv: .*nobody/],
      [["inspect", "web", "weather"], 2, /^viv: .*weather/],
      [["inspect", "web", "stack"], 2, /^viv: name a process by its number/],
      [["inspect", "web", "stack", "99999"], 1, /^viv: the guest has no process 99999/],
      [["inspect", "web", "cat", "/nothing"], 1, /^viv: .*nothing/],
      [["inspect", "shut", "tasks"], 1, /^viv: this guest was started with --opaque/],
    ] as const) {
      const { stdout, stderr, status: ended } = viv(...args);
      expect({ args, stdout, ended }).toEqual({ args, stdout: "", ended: status });
      expect(stderr).toMatch(message);
      expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    }
  });
});

describe("viv perf", () => {
  it("records guests while a command of the host runs, with its status", () => {
    const { status, stderr } = viv("perf", "record", "web", "--", "sh", "-c", "sleep 2; exit 3");
    expect({ status, stderr }).toMatchObject({ status: 3 });
    expect(stderr).toMatch(/^\[ viv perf record: \d+ samples of web, in perf\.data \]\n$/);
    expect(out("perf", "report", "--no-children", "-g", "none")).toMatch(/\d% +md5sum +busybox /);
    expect(out("perf", "script")).toMatch(/md5sum/);
    const modes = (path: string) => statSync(join(directory, path)).mode & 0o777;
    expect([
      modes("perf.data"),
      ...readdirSync(join(directory, "perf.data")).map((name) => modes(`perf.data/${name}`) & 0o77),
    ]).toEqual([0o700, ...readdirSync(join(directory, "perf.data")).map(() => 0)]);
  });
  it("records several guests as one, and keeps the recording before", () => {
    out("perf", "record", "--seconds", "2", "-a", "-F", "499");
    expect(readdirSync(directory)).toContain("perf.data.old");
    const report = out("perf", "report", "--sort", "guest,mode", "--no-children", "-g", "none");
    expect(report).toMatch(/ web /);
    expect(report).toMatch(/ shut /);
    // Of an opaque guest addresses alone.
    expect(out("perf", "report", "--guest", "shut", "--no-children", "-g", "none")).not.toMatch(
      /md5sum|busybox|kallsyms/,
    );
    expect(out("perf", "diff")).toContain("busybox");
  });
  it("shows where waiting tasks wait", () => {
    out("perf", "record", "--off-cpu", "--seconds", "1", "-o", "waiting", "web");
    expect(out("perf", "report", "-i", "waiting", "--no-children", "-g", "caller")).toContain("do_sigtimedwait");
  });
  it("counts why a guest leaves its code", () => {
    const [{ exits, counters }] = JSON.parse(out("perf", "stat", "--seconds", "1", "--json", "web")) as [
      { exits: { reason: string; count: number; time: number }[]; counters: { name: string; value: number }[] },
    ];
    expect(exits.find(({ reason }) => reason === "operation wrmsr")!.count).toBeGreaterThan(10);
    const counter = (wanted: string) => counters.find(({ name }) => name === wanted)!.value;
    expect(counter("instructions")).toBeGreaterThan(1e6);
    expect(counter("interrupts")).toBeGreaterThan(10);
    // Of any guest: this one was started without --stats. Programs that begin know nothing yet.
    expect(counter("TLB misses")).toBeGreaterThan(1000);
    expect(counter("TLB misses")).toBeLessThan(counter("instructions") / 10);
  });
  it("says in one line what is wrong", () => {
    for (const [args, status, message] of [
      [["perf", "record", "nobody"], 1, /^viv: .*nobody/],
      [["perf", "record", "-a", "web"], 2, /^viv: name guests, or all of them/],
      [["perf", "record", "-F", "fast"], 2, /^viv: .*fast/],
      [["perf", "record", "--off-cpu", "--seconds", "1", "shut"], 1, /^viv: this guest was started with --opaque/],
      [["perf", "record", "-o", "web.sock", "--seconds", "1", "nobody"], 1, /^viv: .*nobody/],
      [["perf", "top", "web"], 1, /^viv: viv perf top needs a terminal/],
    ] as const) {
      const { stderr, status: ended } = viv(...args);
      expect({ args, stderr, ended }).toMatchObject({ args, ended: status });
      expect(stderr).toMatch(message);
      expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    }
  });
});
