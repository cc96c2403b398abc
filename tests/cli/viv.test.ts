/** The `viv` command from outside, as a user runs it: the built program, with real files and real kernels. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bzImage, elf } from "../kernel-images.ts";

const VIV = fileURLToPath(new URL("../../dist/cli/main.cjs", import.meta.url));

/** A guest that hangs must not outlive its test. */
const LONGEST_RUN_MS = 50_000;

interface Outcome {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
}

const node = (args: readonly string[], input?: string | Uint8Array): Promise<Outcome> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "pipe"], timeout: LONGEST_RUN_MS });
    let out = "";
    let err = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      out += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      err += text;
    });
    child.on("error", reject);
    child.on("close", (status) => resolve({ status, out, err }));
    child.stdin.on("error", () => undefined);
    child.stdin.end(input);
  });
const viv = (args: readonly string[], input?: string | Uint8Array): Promise<Outcome> => node([VIV, ...args], input);

let directory = "";
const file = (name: string): string => join(directory, name);
const write = async (name: string, content: Uint8Array | string): Promise<string> => {
  await writeFile(file(name), content);
  return file(name);
};

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "viv-test-"));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

/** A flat 32-bit kernel with a Multiboot header: runs `code` at 1 MiB. */
const multiboot = (code: readonly number[]): Uint8Array => {
  const header = new Uint8Array(12);
  const view = new DataView(header.buffer);
  view.setUint32(0, 0x1badb002, true);
  view.setUint32(8, 2 ** 32 - 0x1badb002, true);
  const bytes = Uint8Array.from([...header, ...code]);
  return elf({ bits: 32, entry: 0x10000c, segments: [{ vaddr: 0x100000, paddr: 0x100000, bytes, memsz: 0x1000 }] });
};

/** mov dx, PORT; mov al, VALUE; out dx, al */
const outb = (port: number, value: number): number[] => [0x66, 0xba, port & 0xff, port >> 8, 0xb0, value, 0xee];
const print = (text: string): number[] => [...text].flatMap((c) => outb(0x3f8, c.charCodeAt(0)));
const HALT = [0xf4, 0xeb, 0xfd];

describe("viv, where it cannot run anything", () => {
  it.each<[string, () => Promise<string[]>, number, RegExp]>([
    ["a kernel that is not there", async () => ["--kernel", file("none")], 1, /^viv: kernel .*none: no such file\n$/],
    ["a directory", async () => ["--kernel", directory], 1, /^viv: kernel .*: that is a directory, not a file\n$/],
    [
      "a text file",
      async () => ["--kernel", await write("text", "hello\n".repeat(500))],
      1,
      /^viv: .*not a kernel.*\n$/,
    ],
    ["an empty file", async () => ["--kernel", await write("empty", "")], 1, /^viv: .*\n$/],
    [
      "a kernel cut short",
      async () => {
        const path = await write(
          "short",
          bzImage({ kernel: new Uint8Array(65536), payload: { offset: 0, length: 60000 } }),
        );
        await truncate(path, 3000);
        return ["--kernel", path];
      },
      1,
      /^viv: .*(truncated|ends|cut|shorter).*\n$/,
    ],
    [
      "too little memory",
      async () => ["--kernel", await write("big", bzImage({ initSize: 0x4000000 })), "-m", "16M"],
      1,
      /^viv: .*memory.*\n$/,
    ],
    [
      "an initrd that does not fit",
      async () => [
        "--kernel",
        await write("k", bzImage()),
        "--initrd",
        await write("i", new Uint8Array(2 ** 26)),
        "-m",
        "64M",
      ],
      1,
      /^viv: the initrd of 64 MiB does not fit.*\n$/,
    ],
    [
      "an unknown flag",
      async () => ["--kernal", "x"],
      2,
      /^viv: unknown option '--kernal' \(Did you mean --kernel\?\)\n$/,
    ],
    ["a size that is none", async () => ["-m", "much"], 2, /^viv: --memory much: give a size.*\n$/],
    ["an unknown CPU", async () => ["--cpu", "486"], 2, /^viv: --cpu 486: choose one of .*x86-64-v2.*\n$/],
    ["an initrd without a kernel", async () => ["--initrd", "x"], 2, /^viv: --initrd goes with --kernel.*\n$/],
  ])("says so in one line: %s", async (_, args, status, message) => {
    const outcome = await viv(["run", ...(await args())]);
    expect(outcome.err).toMatch(message);
    expect([outcome.status, outcome.out]).toEqual([status, ""]);
  });
});

describe("a program that uses the library", () => {
  it("ends by itself where no machine could be made: no thread is left", async () => {
    const library = JSON.stringify(new URL("../../dist/sys/node/index.js", import.meta.url).href);
    const start = `await Vm.start({ kernel: ${JSON.stringify(file("none"))} }).catch(({ code }) => console.log(code))`;
    const outcome = await node([await write("start.mjs", `import { Vm } from ${library};\n${start};\n`)]);
    expect(outcome).toEqual({ status: 0, out: "file.not-found\n", err: "" });
  });
});

describe("viv doctor", () => {
  it("finds what guests need on this host", async () => {
    const { status, out } = await viv(["doctor", "--json"]);
    const report = JSON.parse(out) as { healthy: boolean; accelerator: { name: string }; checks: { name: string }[] };
    expect([status, report.healthy, report.accelerator.name]).toEqual([0, true, "software"]);
    expect(report.checks.map(({ name }) => name)).toContain("WebAssembly tail calls");
  });
});

describe("viv run --kernel", () => {
  it("shows the serial console, says which accelerator runs, and ends with 0 at power-off", async () => {
    const path = await write(
      "off",
      multiboot([...print("hello\n"), 0x66, 0xba, 0x04, 0x06, 0x66, 0xb8, 0x00, 0x20, 0x66, 0xef, ...HALT]),
    );
    expect(await viv(["run", "--kernel", path, "-m", "16M"])).toEqual({
      status: 0,
      out: "hello\n",
      err: expect.stringMatching(/^viv: software CPU \(.+\)\n$/),
    });
  });

  it("ends with the exit device's status, quietly where asked to", async () => {
    const path = await write("exit", multiboot([...outb(0xf4, 0x10), ...HALT]));
    expect(await viv(["run", "-q", "--kernel", path, "-m", "16M"])).toEqual({ status: 0x21, out: "", err: "" });
  });

  it("says at the end what the vCPU did, where asked to", async () => {
    const path = await write("stats", multiboot([...outb(0xf4, 0x10), ...HALT]));
    const args = ["run", "-q", "--kernel", path, "-m", "16M", "--stats"];
    const table = await viv(args);
    expect([table.status, table.out]).toEqual([0x21, ""]);
    expect(table.err).toMatch(/^instructions +3$/m);
    expect(table.err).toMatch(/^device accesses +1$/m);
    const { err } = await viv([...args, "--json"]);
    expect(JSON.parse(err)).toMatchObject({ instructions: { retired: 3, compiled: 0 }, events: { deviceAccesses: 1 } });
  });

  it("reboots, or ends at a reset where asked to", async () => {
    const path = await write("reset", multiboot([...print("boot\n"), ...outb(0xcf9, 0x06), ...HALT]));
    const { status, out } = await viv(["run", "-q", "--kernel", path, "-m", "16M", "--on-reset", "exit"]);
    expect([status, out]).toEqual([0, "boot\n"]);
  });

  it("brings standard input to the guest", async () => {
    // Reads bytes while LSR says there are some and echoes them; "q" powers off by the exit device.
    const loop = [
      // mov dx, 0x3fd; in al, dx; test al, 1; jz back
      [0x66, 0xba, 0xfd, 0x03, 0xec, 0xa8, 0x01, 0x74, 0xf7],
      // mov dx, 0x3f8; in al, dx; out dx, al; cmp al, 'q'; jne back
      [0x66, 0xba, 0xf8, 0x03, 0xec, 0xee, 0x3c, 0x71, 0x75, 0xed],
      outb(0xf4, 0),
      HALT,
    ].flat();
    const path = await write("echo", multiboot(loop));
    const { status, out } = await viv(["run", "-q", "--kernel", path, "-m", "16M"], `${"typing ".repeat(50)}q`);
    expect([status, out]).toEqual([1, `${"typing ".repeat(50)}q`]);
  });
});

/** Boots the default guest, which has to have been built (`viv image build`). */
const guestIsThere = existsSync(
  join(process.env["XDG_CACHE_HOME"] ?? join(process.env["HOME"] ?? "", ".cache"), "vivarium/images"),
);

describe.skipIf(!guestIsThere)("viv run --", () => {
  it("runs a command and ends with its status", async () => {
    expect(await viv(["run", "--", "sh", "-c", "uname -sm; echo oops >&2; exit 7"])).toEqual({
      status: 7,
      out: "Linux x86_64\n",
      err: "oops\n",
    });
  });

  it("boots the kernel where chance has put it, or with nokaslr where it was linked", async () => {
    const text = async (...flags: string[]): Promise<string> => {
      const { out } = await viv(["run", ...flags, "--", "grep", "-w", "_text", "/proc/kallsyms"]);
      return out.slice(0, 16);
    };
    const linked = "ffffffff81000000";
    expect(await text("--append", "nokaslr")).toBe(linked);
    const moved = [await text(), await text()];
    for (const address of moved) expect(address).toMatch(/^ffffffff[89ab][0-9a-f][02468ace]00000$/);
    // Each of them has some 480 places.
    expect(moved).not.toEqual([linked, linked]);
  });

  it("reads a script where there is no terminal", async () => {
    expect(await viv(["run"], "echo $((6 * 7))\nexit 4\n")).toEqual({ status: 4, out: "42\n", err: "" });
  });

  it("passes standard input and awkward arguments through", async () => {
    const { status, out } = await viv(
      ["run", "--", "sh", "-c", 'cat; printf "<%s>" "$@"', "sh", "a b", "it's", "x\ny", ""],
      "in\n",
    );
    expect([status, out]).toEqual([0, "in\n<a b><it's><x\ny><>"]);
  });
});
