import { type ChildProcessWithoutNullStreams, execFileSync, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as after } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { build } from "rolldown";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { defaultOptions, report } from "../../src/perf/report/rows.ts";
import { reportLines } from "../../src/perf/report/text.ts";
import { randomProfile } from "./random-profile.ts";

let directory = "";
let main = "";
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "viv-perf-"));
  const input = fileURLToPath(new URL("viv-perf.ts", import.meta.url));
  await build({ input, output: { dir: directory, entryFileNames: "main.mjs" }, platform: "node", logLevel: "silent" });
  main = join(directory, "main.mjs");
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const perf = (...words: string[]) => spawnSync(process.execPath, [main, "perf", ...words], { encoding: "utf8" });

describe("viv perf", () => {
  it("prints plain text into a pipe", () => {
    const { stdout, status } = perf("report", "-i", "1", "--no-children", "-g", "none", "--percent-limit", "1");
    const profile = randomProfile(1, { samples: 2000 });
    const options = { ...defaultOptions(profile), children: false, graph: false };
    expect(status).toBe(0);
    expect(stdout).toBe(`${[...reportLines(report(profile, options), { percentLimit: 1 })].join("\n")}\n`);
  });

  it("stops where its reader does", () => {
    const shell = spawnSync("sh", ["-c", `"${process.execPath}" "${main}" perf script -i 1 | head -1; echo over`], {
      encoding: "utf8",
    });
    expect(shell.stdout).toMatch(/^VM: guest-\d VCPU:00\d task-\d [^\n]*\nover\n$/);
    expect(shell.stderr).toBe("");
  });

  it("writes an exported file whole, and nowhere where it cannot", () => {
    const path = join(directory, "out");
    expect(perf("export", "-i", "1", "--format", "numbers", "-o", path).status).toBe(0);
    expect(readFileSync(path, "utf8")).toBe("1\n2\n");
    expect(perf("export", "-i", "1", "--format", "numbers").stdout).toBe("1\n2\n");
    const failed = perf("export", "-i", "1", "--format", "numbers", "-o", join(directory, "no", "where"));
    expect(failed.status).not.toBe(0);
    expect(failed.stderr).toContain("where cannot be written: ENOENT");
  });
});

const hasScript = ((): boolean => {
  try {
    execFileSync("script", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
})();

/** A command on a terminal of its own, 100 by 24. */
class Terminal {
  /** All that was drawn. */
  seen = "";
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #ended: Promise<number | null>;

  constructor(command: string) {
    const line = `stty cols 100 rows 24; ${command}`;
    this.#child = spawn("script", ["-qefc", line, "/dev/null"], {
      env: { ...process.env, TERM: "xterm", SHELL: "/bin/sh" },
    });
    this.#child.stdout.setEncoding("utf8").on("data", (text: string) => {
      this.seen += text;
    });
    this.#ended = new Promise((resolve) => {
      this.#child.on("close", resolve);
    });
  }

  /** Presses keys, and gives back what was drawn from then on, once it holds `sign`. */
  async press(keys: string, sign: string): Promise<string> {
    const before = this.seen.length;
    this.#child.stdin.write(keys);
    for (let tries = 0; tries < 500; tries++) {
      const drawn = this.seen.slice(before);
      if (drawn.includes(sign)) return drawn;
      await after(20);
    }
    throw new Error(`no ${sign} in ${JSON.stringify(this.seen.slice(before))}`);
  }

  end(): Promise<number | null> {
    this.#child.stdin.end();
    return this.#ended;
  }
}

const ALTERNATE = "\x1b[?1049h";
const BACK = "\x1b[?7h\x1b[?25h\x1b[?1049l";

describe.skipIf(!hasScript)("viv perf report on a terminal", () => {
  it("is interactive, and leaves the terminal as it was", async () => {
    const terminal = new Terminal(`'${process.execPath}' '${main}' perf report -i 1; echo "status $?"; stty -a`);
    const first = await terminal.press("", "? help");
    expect(first).toContain(ALTERNATE);
    expect(first).toMatch(/Children {6}Self {2}Command/);
    const opened = await terminal.press("\r", "? help");
    expect(opened).toMatch(/- .{5} +\d+\.\d\d%/);
    await terminal.press("/kernel_3", "Filter: kernel_3_");
    const filtered = await terminal.press("\r", "filter: kernel_3");
    expect(filtered).toContain("kernel_3");
    expect(filtered).not.toContain("kernel_2");
    expect(await terminal.press("a", "The recording has no code of kernel_3")).toContain("guest.kernel.kallsyms.700");
    expect(await terminal.press("q", "icanon")).toMatch(/status 0.* icanon/s);
    expect(terminal.seen).toContain(BACK);
    expect(terminal.seen.slice(terminal.seen.indexOf(BACK))).toMatch(/[^-]echo /);
    expect(await terminal.end()).toBe(0);
  });

  it("draws again when the size changes, and leaves at a signal", async () => {
    const terminal = new Terminal(
      `tty; sh -c 'echo "pid $$."; exec "${process.execPath}" "${main}" perf report -i 1'; echo "status $?"`,
    );
    const first = await terminal.press("", "? help");
    const [, tty, pid] = /^(\S+)\s+pid (\d+)\./.exec(first)!;
    execFileSync("stty", ["-F", tty!, "rows", "10", "cols", "90"]);
    await terminal.press("", "\x1b[H");
    process.kill(Number(pid), "SIGTERM");
    await terminal.press("", "status 143");
    expect(terminal.seen).toContain(BACK);
    const screens = terminal.seen.slice(0, terminal.seen.indexOf(BACK)).split("\x1b[H").slice(1);
    // The terminal may say twice that its size has changed.
    expect([...new Set(screens.map((screen) => screen.split("\r\n").length))]).toEqual([24, 10]);
    await terminal.end();
  });

  it("is plain with --stdio", async () => {
    const terminal = new Terminal(`'${process.execPath}' '${main}' perf report -i 1 --stdio -g none; echo over`);
    expect(await terminal.press("", "over")).not.toContain("\x1b");
    await terminal.end();
  });
});
