/** Guests by name, from outside: processes of the built command and library, real guests, another user. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, lstat, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { elf } from "../kernel-images.ts";

const VIV = fileURLToPath(new URL("../../dist/cli/main.cjs", import.meta.url));
const LIBRARY = new URL("../../dist/sys/node/index.js", import.meta.url).href;
const LONGEST_RUN_MS = 50_000;

interface Outcome {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
}

let directory = "";
const environment = (): NodeJS.ProcessEnv => ({ ...process.env, XDG_RUNTIME_DIR: directory });
const start = (file: string, args: readonly string[]): ChildProcess =>
  spawn(file, args, { stdio: ["pipe", "pipe", "pipe"], timeout: LONGEST_RUN_MS, env: environment() });

const outcomeOf = (child: ChildProcess, input?: string): Promise<Outcome> =>
  new Promise((resolve, reject) => {
    let out = "";
    let err = "";
    child.stdout?.setEncoding("utf8").on("data", (text: string) => (out += text));
    child.stderr?.setEncoding("utf8").on("data", (text: string) => (err += text));
    child.on("error", reject);
    child.on("close", (status) => resolve({ status, out, err }));
    child.stdin?.on("error", () => undefined);
    child.stdin?.end(input);
  });
const viv = (args: readonly string[], input?: string): Promise<Outcome> =>
  outcomeOf(start(process.execPath, [VIV, ...args]), input);

interface Row {
  readonly name: string;
  readonly id: string;
  readonly pid: number;
  readonly state: string;
  readonly memory: number;
  readonly opaque: boolean;
  readonly cpuTime: number;
}
const ps = async (): Promise<readonly Row[]> => JSON.parse((await viv(["ps", "--json"])).out) as readonly Row[];
const names = async (): Promise<readonly string[]> => (await ps()).map(({ name }) => name);

const until = async (done: () => Promise<boolean>): Promise<void> => {
  const deadline = Date.now() + LONGEST_RUN_MS;
  while (!(await done())) {
    if (Date.now() > deadline) throw new Error("it did not come to that");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
};

/** A Multiboot kernel that prints "up" and sleeps for ever. */
function sleeper(): Uint8Array {
  const header = new Uint8Array(12);
  const view = new DataView(header.buffer);
  view.setUint32(0, 0x1badb002, true);
  view.setUint32(8, 2 ** 32 - 0x1badb002, true);
  const print = [..."up\n"].flatMap((c) => [0x66, 0xba, 0xf8, 0x03, 0xb0, c.charCodeAt(0), 0xee]);
  const bytes = Uint8Array.from([...header, ...print, 0xf4, 0xeb, 0xfd]);
  return elf({ bits: 32, entry: 0x10000c, segments: [{ vaddr: 0x100000, paddr: 0x100000, bytes, memsz: 0x1000 }] });
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "viv-"));
  await writeFile(join(directory, "sleeper"), sleeper());
});
const kernel = (): readonly string[] => ["--kernel", join(directory, "sleeper"), "-m", "16M"];
/** No guest outlives its test. */
afterEach(async () => {
  const left = await names();
  if (left.length > 0) await viv(["kill", ...left]);
});
afterAll(() => rm(directory, { recursive: true, force: true }));

describe("guests of several processes", () => {
  it("are listed by all of them, and not any more once their process was killed", async () => {
    const detached = await viv(["run", "-d", "--name", "detached", "--opaque", ...kernel()]);
    expect(detached).toEqual({ status: 0, out: "detached\n", err: "" });
    const console = start(process.execPath, [VIV, "run", "-q", "--name", "console", ...kernel()]);
    const script = `
      import { Vm } from ${JSON.stringify(LIBRARY)};
      const vm = await Vm.start({ kernel: ${JSON.stringify(join(directory, "sleeper"))}, memory: "16M" });
      const hidden = await Vm.start({ kernel: ${JSON.stringify(join(directory, "sleeper"))}, memory: "16M", unlisted: true });
      const seen = (await Vm.list()).map(({ name }) => name);
      console.log(JSON.stringify({ name: vm.name, hidden: hidden.name ?? null, seen: seen.includes(vm.name) }));
    `;
    await writeFile(join(directory, "library.mjs"), script);
    const library = start(process.execPath, [join(directory, "library.mjs")]);
    const said = await new Promise<string>((resolve) => library.stdout?.once("data", (data) => resolve(String(data))));
    const { name, ...rest } = JSON.parse(said) as { name: string };
    expect(rest).toEqual({ hidden: null, seen: true });
    await until(async () => (await names()).length === 3);
    const rows = await ps();
    expect(rows.map((row) => row.name)).toEqual(["console", "detached", name].sort());
    for (const row of rows) {
      expect(row).toMatchObject({ state: "running", memory: 16 * 2 ** 20, opaque: row.name === "detached" });
      // These guests sleep.
      expect(row.cpuTime).toBeLessThan(1000);
    }
    expect((await viv(["ps", "-q"])).out).toBe(`${["console", "detached", name].sort().join("\n")}\n`);
    expect((await viv(["ps"])).out.split("\n")[0]).toMatch(
      /^NAME +ID +STATE +VCPUS +MEMORY +ACCELERATOR +UPTIME +CPU% +HOST/,
    );

    const gone = new Promise((resolve) => console.once("close", resolve));
    console.kill("SIGKILL");
    await gone;
    expect(await names()).toEqual(["detached", name].sort());
    library.kill("SIGKILL");
    process.kill(rows.find((row) => row.name === "detached")!.pid, "SIGKILL");
    await until(async () => (await names()).length === 0);
    expect(await readdir(join(directory, "vivarium"))).toEqual([]);
  });

  it("have a name each, which is free again after them", async () => {
    await viv(["run", "-d", "--name", "one", ...kernel()]);
    const second = await viv(["run", "-d", "--name", "one", ...kernel()]);
    expect([second.status, second.out]).toEqual([1, ""]);
    expect(second.err).toMatch(/^viv: there is a guest called one already: .*viv stop one\n$/);
    expect((await viv(["run", "--name", "one", ...kernel()])).status).toBe(1);
    expect(await viv(["stop", "-t", "0", "one"])).toEqual({ status: 0, out: "one\n", err: "" });
    expect((await viv(["run", "-d", "--name", "one", ...kernel()])).status).toBe(0);
    expect(await viv(["logs", "one"])).toEqual({ status: 0, out: "up\n", err: "" });
  });

  it("say why they do not start", async () => {
    expect(await viv(["run", "-d", "--kernel", join(directory, "none")])).toEqual({
      status: 1,
      out: "",
      err: expect.stringMatching(/^viv: kernel .*none: no such file\n$/),
    });
    expect((await viv(["run", "-d", "--name", "a/b"])).status).toBe(2);
    expect(await viv(["exec", "nobody", "--", "true"])).toMatchObject({
      status: 125,
      err: expect.stringMatching(/viv ps/),
    });
    expect(await names()).toEqual([]);
  });

  it("are not left behind where their start is interrupted", async () => {
    for (const wait of [250, 500]) {
      const starting = start(process.execPath, [VIV, "run", "-d", "--name", "early", ...kernel()]);
      const outcome = outcomeOf(starting);
      await new Promise((resolve) => setTimeout(resolve, wait));
      starting.kill("SIGTERM");
      // Or it was too late.
      const { status } = await outcome;
      await until(async () => (await names()).length === (status === 0 ? 1 : 0));
      await viv(["kill", "early"]);
    }
  });

  it("are listed and can be ended where their process hangs", async () => {
    await viv(["run", "-d", "--name", "hung", ...kernel()]);
    await viv(["run", "-d", "--name", "well", ...kernel()]);
    const { pid } = (await ps()).find(({ name }) => name === "hung")!;
    process.kill(pid, "SIGSTOP");
    expect((await ps()).map(({ name, state }) => [name, state])).toEqual([
      ["hung", "unresponsive"],
      ["well", "running"],
    ]);
    expect(await viv(["kill", "hung"])).toEqual({ status: 0, out: "hung\n", err: "" });
    await until(async () => (await names()).join() === "well");
  });

  it.skipIf(process.getuid?.() !== 0 || !existsSync("/usr/bin/setpriv"))(
    "are another user's neither to list nor to reach (needs root and setpriv)",
    async () => {
      await viv(["run", "-d", "--name", "mine", ...kernel()]);
      const [row] = await ps();
      // So that it is the registry's own directory that keeps others out.
      await chmod(directory, 0o755);
      expect((await lstat(join(directory, "vivarium"))).mode & 0o777).toBe(0o700);
      const nobody = (...args: string[]): Promise<Outcome> =>
        outcomeOf(start("setpriv", ["--reuid=65534", "--regid=65534", "--clear-groups", process.execPath, ...args]));
      const socket = JSON.stringify(join(directory, "vivarium", `${row!.id}.sock`));
      const connect = `require("net").connect(${socket}).on("error", (e) => console.log(e.code)).on("connect", () => console.log("in"))`;
      expect((await nobody("-e", connect)).out).toBe("EACCES\n");
      const list = `require("fs").readdir(${JSON.stringify(join(directory, "vivarium"))}, (e) => console.log(e?.code))`;
      expect((await nobody("-e", list)).out).toBe("EACCES\n");
      // Root can go where it likes; the socket itself is for its owner, too.
      expect((await lstat(join(directory, "vivarium", `${row!.id}.sock`))).mode & 0o777).toBe(0o600);
      // Another user's directory in the environment is not taken for one's own.
      const other = await nobody(VIV, "ps", "--json");
      expect(other).toMatchObject({ status: 0, out: "[]\n" });
      expect((await nobody(VIV, "kill", "mine")).status).toBe(1);
      expect(await names()).toEqual(["mine"]);
    },
  );
});

const guestIsThere = existsSync(
  join(process.env["XDG_CACHE_HOME"] ?? join(process.env["HOME"] ?? "", ".cache"), "vivarium/images"),
);

describe.skipIf(!guestIsThere)("a detached default guest", () => {
  it("has a shell to attach to, runs commands, is held, and shuts down", async () => {
    expect(await viv(["run", "-d", "--name", "web"])).toMatchObject({ status: 0, out: "web\n" });
    const exec = await viv(
      ["exec", "-e", "A=b c", "-w", "/tmp", "web", "--", "sh", "-c", 'cat; pwd; echo "$A" >&2; exit 7'],
      "in\n",
    );
    expect(exec).toEqual({ status: 7, out: "in\n/tmp\n", err: "b c\n" });
    expect((await viv(["exec", "-n", "web", "--", "cat"], "in\n")).out).toBe("");

    // The prompt that was printed before is shown, and what one types appears to all.
    const watching = start(process.execPath, [VIV, "attach", "web"]);
    let seen = "";
    watching.stdout?.setEncoding("utf8").on("data", (text: string) => (seen += text));
    await until(async () => seen.includes("~ # "));
    const typing = start(process.execPath, [VIV, "attach", "web"]);
    typing.stdin?.write("echo $((6 * 7))0 typed\n");
    await until(async () => seen.includes("\n420 typed"));
    typing.kill("SIGTERM");
    expect((await viv(["logs", "web"])).out).toContain("\n420 typed");

    // A command whose client is gone does not hold up the next.
    const lost = start(process.execPath, [VIV, "exec", "web", "--", "sh", "-c", "echo here; sleep 1000"]);
    await new Promise((resolve) => lost.stdout?.once("data", resolve));
    lost.kill("SIGKILL");
    expect(await viv(["exec", "web", "--", "pidof", "sleep"])).toMatchObject({ status: 1 });

    expect(await viv(["pause", "web"])).toEqual({ status: 0, out: "web\n", err: "" });
    const held = (await ps())[0]!;
    expect(held.state).toBe("paused");
    const later = (await ps())[0]!;
    expect(later.cpuTime - held.cpuTime).toBeLessThan(20);
    expect(await viv(["resume", "web"])).toEqual({ status: 0, out: "web\n", err: "" });
    expect((await viv(["exec", "web", "--", "true"])).status).toBe(0);

    const end = new Promise((resolve) => watching.once("close", resolve));
    expect(await viv(["stop", "web"])).toEqual({ status: 0, out: "web\n", err: "" });
    expect(await end).toBe(0);
    expect(seen).toMatch(/Power down/);
    expect(await ps()).toEqual([]);
  });

  it("runs a command on its console, and ends with it", async () => {
    const command = 'tty; read -r line; echo "got $line"; exit 9';
    await viv(["run", "-d", "--name", "job", "--", "sh", "-c", command]);
    const follower = outcomeOf(start(process.execPath, [VIV, "logs", "-f", "job"]));
    await until(async () => (await viv(["logs", "job"])).out.includes("/dev/ttyS0"));
    // The command does not take the place of others.
    expect((await viv(["exec", "job", "--", "true"])).status).toBe(0);
    const { status, out } = await viv(["attach", "job"], "a line\n");
    expect([status, out.includes("got a line")]).toEqual([9, true]);
    const log = await follower;
    expect([log.status, log.out.replaceAll("\r", "")]).toEqual([
      0,
      expect.stringContaining("/dev/ttyS0\na line\ngot a line\n"),
    ]);
    expect(await ps()).toEqual([]);
  });
});
