import { CommanderError } from "commander";
import { describe, expect, it } from "vitest";
import { VivError } from "../base/index.ts";
import { EXIT, messageOf, statusOf } from "./exit-status.ts";
import { type Actions, runProgram } from "./program.ts";

const viv = async (line: readonly string[]) => {
  const calls: unknown[] = [];
  let out = "";
  let err = "";
  const action =
    (name: string) =>
    async (...values: unknown[]): Promise<number> => {
      calls.push([name, ...values]);
      return 7;
    };
  const actions = new Proxy({} as Actions, { get: (_, name) => action(String(name)) });
  const streams = {
    out: (text: string) => {
      out += text;
    },
    err: (text: string) => {
      err += text;
    },
  };
  const status = await runProgram(line, actions, streams).catch((error: unknown) => statusOf(error));
  return { status, calls, out, err };
};

const PLAIN = { quiet: false, verbose: false };

describe("the command line", () => {
  it.each<[string[], unknown[]]>([
    [["run"], ["runConsole", {}, PLAIN]],
    [
      ["run", "-q", "-m", "1G"],
      ["runConsole", { memory: "1G" }, { quiet: true, verbose: false }],
    ],
    [
      ["run", "--kernel", "k", "--initrd", "i", "--append", "console=ttyS0 -v", "--cpu=max", "--on-reset", "exit"],
      ["runConsole", { kernel: "k", initrd: "i", append: "console=ttyS0 -v", cpu: "max", onReset: "exit" }, PLAIN],
    ],
    [
      ["run", "-q", "--jit", "on", "--lockstep", "5", "--", "true"],
      ["runCommand", { jit: "on", lockstep: "5" }, ["true"], { quiet: true, verbose: false }],
    ],
    [
      ["run", "--stats", "--json"],
      ["runConsole", { stats: true }, { ...PLAIN, json: true }],
    ],
    [
      ["run", "-q", "--lockstep", "--", "true"],
      ["runCommand", { lockstep: 10_000 }, ["true"], { quiet: true, verbose: false }],
    ],
    [
      ["run", "--", "uname", "-a"],
      ["runCommand", {}, ["uname", "-a"], PLAIN],
    ],
    [
      ["run", "-m256M", "--", "sh", "-c", "a 'b'\n--help", "--"],
      ["runCommand", { memory: "256M" }, ["sh", "-c", "a 'b'\n--help", "--"], PLAIN],
    ],
    [
      ["run", "-d", "--name", "web", "--opaque"],
      ["runDetached", { name: "web", opaque: true }, [], PLAIN],
    ],
    [
      ["run", "-qd", "--", "httpd", "-f"],
      ["runDetached", {}, ["httpd", "-f"], { quiet: true, verbose: false }],
    ],
    [
      ["ps", "--json"],
      ["listGuests", { quiet: false, json: true }],
    ],
    [
      ["exec", "-n", "-e", "A=b", "-e", "C=d=e", "-w", "/tmp", "web", "--", "sh", "-c", "--"],
      ["execute", "web", ["sh", "-c", "--"], { stdin: false, env: { A: "b", C: "d=e" }, cwd: "/tmp" }],
    ],
    [
      ["exec", "web", "--", "true"],
      ["execute", "web", ["true"], { stdin: true, env: {} }],
    ],
    [
      ["attach", "web"],
      ["attach", "web"],
    ],
    [
      ["stop", "-t", "1.5", "web", "db"],
      ["stop", ["web", "db"], 1500],
    ],
    [
      ["stop", "web"],
      ["stop", ["web"], 10_000],
    ],
    [
      ["kill", "web"],
      ["kill", ["web"]],
    ],
    [
      ["pause", "web"],
      ["pause", ["web"]],
    ],
    [
      ["resume", "web", "db"],
      ["resume", ["web", "db"]],
    ],
    [
      ["logs", "-f", "web"],
      ["logs", "web", { follow: true }],
    ],
    [
      ["image", "ls", "--json"],
      ["listImages", { json: true }],
    ],
    [
      ["image", "build", "-q"],
      ["buildImage", { quiet: true, json: false }],
    ],
    [
      ["image", "rm", "default", "other@1"],
      ["removeImages", ["default", "other@1"]],
    ],
    [
      ["doctor", "--json"],
      ["doctor", { json: true }],
    ],
  ])("%j is understood", async (line, call) => {
    const { status, calls, err } = await viv(line);
    expect([calls, err, status]).toEqual([[call], "", 7]);
  });

  it.each<[string[], RegExp]>([
    [["run", "--memroy", "1G"], /^viv: unknown option '--memroy' \(Did you mean --memory\?\)\n$/],
    [["run", "-m"], /^viv: option '-m, --memory <SIZE>' argument missing\n$/],
    [["run", "uname"], /^viv: too many arguments for 'run'.*\n$/],
    [["run", "--"], /^viv: no command after --.*\n$/],
    [["doctor", "--", "x"], /^viv: -- and a command go with viv run, viv exec, viv perf record and viv perf stat\n$/],
    [["exec", "web"], /^viv: no command after --.*\n$/],
    [["exec", "-e", "=x", "web", "--", "true"], /^viv: .*NAME=VALUE.*\n$/],
    [["stop", "-t", "soon", "web"], /^viv: .*soon.*\n$/],
    [["stop"], /^viv: missing required argument 'name'\n$/],
    [["logs", "web", "db"], /^viv: too many arguments.*\n$/],
    [["rum"], /^viv: .*rum.*\n$/],
    [["image", "rm"], /^viv: missing required argument 'image'\n$/],
    [["image", "lst"], /^viv: unknown command 'lst'.*\n$/],
  ])("%j is refused in one line", async (line, message) => {
    const { status, calls, err } = await viv(line);
    expect(err).toMatch(message);
    expect([status, calls]).toEqual([EXIT.usage, []]);
  });

  it("helps, and knows its version", async () => {
    const help = await viv(["run", "--help"]);
    expect(help.status).toBe(0);
    for (const flag of ["--kernel", "--initrd", "--append", "-m, --memory", "--cpu", "--on-reset"]) {
      expect(help.out).toContain(flag);
    }
    expect(await viv(["--version"])).toMatchObject({ status: 0, out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
    expect(await viv([])).toMatchObject({ status: EXIT.usage, err: expect.stringContaining("Usage: viv") });
  });
});

describe("the exit status", () => {
  it("tells wrong usage from failure, and failure from the command's own status", () => {
    expect(statusOf(new VivError("config.value", ""))).toBe(2);
    expect(statusOf(new VivError("kernel.not-a-kernel", ""))).toBe(1);
    expect(statusOf(new VivError("vm.ended", ""), EXIT.notRun)).toBe(125);
    expect(statusOf(new CommanderError(1, "commander.unknownOption", ""))).toBe(2);
    expect(statusOf(new CommanderError(0, "commander.help", ""))).toBe(0);
  });

  it("comes with one line, and more only where it was asked for", () => {
    const error = new VivError("file.not-found", "kernel x: no such file", { cause: new Error("ENOENT") });
    expect(messageOf(error, false)).toBe("kernel x: no such file");
    expect(messageOf(error, true)).toContain("ENOENT");
  });
});
