/**
 * The default guest and the exec protocol on a machine that is not ours: QEMU. The image is the one `viv` would use, built
 * where this user has none. What is checked: arguments, output, input and exit codes arrive whole.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomFillSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { VivError } from "../../src/base/index.ts";
import {
  buildDefaultGuest,
  consoleParameters,
  ExecChannel,
  type ExecOptions,
  type Guest,
  type SerialLine,
} from "../../src/image/index.ts";
import { guestPorts } from "../../src/sys/node/guest.ts";

const QEMU = "qemu-system-x86_64";
const has = (program: string): boolean => spawnSync(program, ["--version"]).status === 0;
const missing = [QEMU, "apt-get"].filter((program) => !has(program));

interface Machine {
  readonly channel: ExecChannel;
  readonly console: { text: string; readonly socket: Socket };
  readonly ended: Promise<number | null>;
  stop(): void;
}

/** Starts QEMU with its four serial ports on sockets of ours. */
async function start(guest: Guest, parameters = ""): Promise<Machine> {
  const directory = mkdtempSync(join(tmpdir(), "viv-qemu-"));
  writeFileSync(join(directory, "initrd"), guest.initrd);
  const sockets: Promise<Socket>[] = [];
  const serial: string[] = [];
  for (let i = 0; i < 4; i++) {
    const path = join(directory, `com${i + 1}`);
    sockets.push(
      new Promise((resolve, reject) => {
        const server = createServer((socket) => {
          server.close();
          resolve(socket.on("error", () => undefined));
        });
        server.on("error", reject).listen(path);
      }),
    );
    serial.push("-chardev", `socket,id=com${i},path=${path}`, "-serial", `chardev:com${i}`);
  }
  const words = ["-accel", "tcg", "-m", "512", "-display", "none", "-nic", "none", "-no-reboot"];
  const boot = ["-kernel", guest.kernel, "-initrd", join(directory, "initrd")];
  const append = ["-append", `${guest.kernelCommandLine} ${parameters}`];
  const qemu: ChildProcess = spawn(QEMU, [...words, ...boot, ...append, ...serial], { stdio: "inherit" });
  const ended = new Promise<number | null>((resolve) => qemu.on("close", resolve));
  const [com1, com2, com3, com4] = (await Promise.all(sockets)) as [Socket, Socket, Socket, Socket];
  const line = (socket: Socket): SerialLine => ({
    write: (data) => socket.write(data),
    listen: (listener) => socket.on("data", listener),
    hold: (held) => (held ? socket.pause() : socket.resume()),
  });
  const console = { text: "", socket: com1 };
  com1.setEncoding("latin1").on("data", (text: string) => {
    console.text += text;
  });
  const channel = new ExecChannel({ control: line(com2), output: line(com3), errors: line(com4) }, randomFillSync);
  void ended.then(() => {
    channel.close(new VivError("test.qemu-ended", "QEMU has ended"));
    rmSync(directory, { recursive: true, force: true });
  });
  return { channel, console, ended, stop: () => qemu.kill("SIGKILL") };
}

async function run(channel: ExecChannel, argv: readonly (string | Uint8Array)[], options: ExecOptions = {}) {
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  const { exitCode } = await channel.exec(argv, {
    ...options,
    onStdout: (data) => void stdout.push(Buffer.from(data)),
    onStderr: (data) => void stderr.push(Buffer.from(data)),
  });
  return { exitCode, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString("latin1") };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
}

/** A reproducible run of bytes in which every value occurs. */
function noise(length: number): Buffer {
  const out = Buffer.alloc(length);
  for (let i = 0, x = 0x2545f491; i < length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    out[i] = x;
  }
  return out;
}

describe.skipIf(missing.length > 0)(`commands in the default guest on QEMU (needs ${QEMU} and apt-get)`, () => {
  let guest: Guest;
  let machine: Machine;
  let channel: ExecChannel;

  beforeAll(async () => {
    guest = await buildDefaultGuest(guestPorts());
    machine = await start(guest);
    channel = machine.channel;
    await channel.ready;
  });
  afterAll(() => machine?.stop());

  it("runs a command, its streams apart, with its exit code", async () => {
    const result = await run(channel, ["sh", "-c", "uname -sm; echo trouble >&2; exit 7"]);
    expect(result.stdout.toString()).toBe("Linux x86_64\n");
    expect(result.stderr).toBe("trouble\n");
    expect(result.exitCode).toBe(7);
  });

  it("passes every argument as it is", async () => {
    const all = Uint8Array.from({ length: 255 }, (_, i) => i + 1);
    const argv = [
      "",
      " ",
      "a b",
      "it's",
      '"',
      "line\nbreak",
      "\\",
      "$HOME `x` *",
      "-n",
      "ü€𝄞",
      "\t\r\x1b",
      "--",
      "'''",
    ];
    const print = 'for a in "$@"; do printf "%s\\0" "$a"; done';
    const result = await run(channel, ["sh", "-c", print, "sh", ...argv, all, "x".repeat(100_000)]);
    const expected = [...argv.map((a) => Buffer.from(a)), Buffer.from(all), Buffer.from("x".repeat(100_000))];
    expect(result.stdout).toEqual(Buffer.concat(expected.flatMap((a) => [a, Buffer.alloc(1)])));
    expect(result.stderr).toBe("");
  });

  it("says 127 for a program that is not there and 126 for a directory that is not", async () => {
    const nope = await run(channel, ["nope"]);
    expect(nope.exitCode).toBe(127);
    expect(nope.stderr).toContain("nope");
    expect((await run(channel, ["true"], { cwd: "/not/there" })).exitCode).toBe(126);
  });

  it("says 128 + n for a command that a signal killed", async () => {
    expect((await run(channel, ["sh", "-c", "kill -9 $$"])).exitCode).toBe(137);
  });

  it("gives commands default signals, a session of their own and no terminal", async () => {
    const script = "grep SigIgn /proc/self/status; tty; ls /proc/self/fd | wc -l; kill 0";
    const result = await run(channel, ["sh", "-c", script]);
    // The listing's own descriptor is the fourth.
    expect(result.stdout.toString()).toBe("SigIgn:\t0000000000000000\nnot a tty\n4\n");
    expect(result.exitCode).toBe(143);
  });

  it("sets directory and environment, whatever the names", async () => {
    const env = { A: "1 2", "B-C": "x", status: "s", IFS: "/", "-n": "dash" };
    expect((await run(channel, ["pwd"], { cwd: "/etc" })).stdout.toString()).toBe("/etc\n");
    const result = await run(channel, ["env"], { env });
    const lines = result.stdout.toString().trim().split("\n");
    expect(lines).toEqual(expect.arrayContaining(["A=1 2", "B-C=x", "status=s", "IFS=/", "-n=dash", "HOME=/root"]));
    expect(lines.join("\n")).not.toMatch(/vivarium|TERM|token/);
  });

  it("passes input and output of all byte values through, to the end", async () => {
    const input = noise(300_000);
    const result = await run(channel, ["cat"], { stdin: input });
    expect(result.stdout.equals(input)).toBe(true);
    expect(result.exitCode).toBe(0);
  });

  it("ends empty input, and reads /dev/null where there is none", async () => {
    expect((await run(channel, ["wc", "-c"], { stdin: new Uint8Array(0) })).stdout.toString()).toBe("0\n");
    expect((await run(channel, ["wc", "-c"])).stdout.toString()).toBe("0\n");
  });

  it("passes input on as it comes, before it ends", async () => {
    let answered: () => void = () => undefined;
    const answer = new Promise<void>((resolve) => {
      answered = resolve;
    });
    async function* conversation() {
      yield Buffer.from("one\n");
      await answer;
      yield Buffer.from("two\n");
    }
    let heard = "";
    const { exitCode } = await channel.exec(["cat"], {
      stdin: conversation(),
      onStdout: (data) => {
        heard += Buffer.from(data).toString();
        if (heard === "one\n") answered();
      },
    });
    expect([heard, exitCode]).toEqual(["one\ntwo\n", 0]);
  });

  it("survives input that nobody reads", async () => {
    for (let i = 0; i < 3; i++) {
      const unread = await run(channel, ["sh", "-c", "exit 3"], { stdin: noise(200_000) });
      expect(unread.exitCode).toBe(3);
      const read = await run(channel, ["head", "-c", "5"], { stdin: Buffer.from("hello world") });
      expect(read.stdout.toString()).toBe("hello");
    }
  });

  it("does not wait for a background process, nor mix its output into the next command's", async () => {
    const background = "(while usleep 20000; do echo noise; done) & echo $! >/tmp/pid; echo started";
    const first = await run(channel, ["sh", "-c", background], { stdin: Buffer.from("x") });
    expect(first.stdout.toString()).toMatch(/^started\n/);
    for (let i = 0; i < 3; i++) expect((await run(channel, ["echo", "clean"])).stdout.toString()).toBe("clean\n");
    const alive = await run(channel, ["sh", "-c", "kill $(cat /tmp/pid)"]);
    expect([alive.stderr, alive.exitCode]).toEqual(["", 0]);
  });

  it("takes output that ends without a newline, and a megabyte of it", async () => {
    const result = await run(channel, ["sh", "-c", "head -c 1000000 /dev/zero; printf end; printf err >&2"]);
    expect(result.stdout.equals(Buffer.concat([Buffer.alloc(1_000_000), Buffer.from("end")]))).toBe(true);
    expect(result.stderr).toBe("err");
  });

  it("sends a signal to the running command", async () => {
    let started: () => void = () => undefined;
    const running = new Promise<void>((resolve) => {
      started = resolve;
    });
    const done = channel.exec(["sh", "-c", "trap 'exit 9' TERM; echo up; while :; do usleep 10000; done"], {
      onStdout: () => started(),
    });
    await running;
    channel.signal("TERM");
    expect((await done).exitCode).toBe(9);
  });

  it("finds an agent again where the guest killed it", async () => {
    const killed = run(channel, ["sh", "-c", "kill -9 $(cat /run/vivarium/agent)"]);
    await expect(killed).rejects.toMatchObject({ code: "guest.agent-restarted" });
    expect((await run(channel, ["echo", "again"])).stdout.toString()).toBe("again\n");
  });

  it("powers off when asked as usual", async () => {
    const gone = run(channel, ["sh", "-c", "poweroff; sleep 60"]);
    await expect(gone).rejects.toBeInstanceOf(VivError);
    expect(await machine.ended).toBe(0);
  });

  it("has an interactive shell on the console, with job control and the window's size", async () => {
    const parameters = consoleParameters({ rows: 33, columns: 99, term: "xterm" });
    const { channel, console, ended, stop } = await start(guest, parameters);
    try {
      // Busybox asks the terminal for its cursor's place (CSI 6 n) with each prompt.
      const prompts = (): number => console.text.split("# \x1b[6n").length - 1;
      await until(() => prompts() >= 1);
      console.socket.write("stty size; echo $TERM; sleep 60\n");
      await until(() => console.text.includes("\n33 99\r\nxterm\r\n"));
      // The terminal's interrupt ends the foreground job and not the shell; its window changes meanwhile.
      channel.resize(44, 111);
      const interrupt = () => console.socket.write("\x03");
      interrupt();
      // One that comes while the shell starts the job may hit nobody.
      const again = setInterval(interrupt, 2000);
      await until(() => prompts() >= 2);
      clearInterval(again);
      expect((await run(channel, ["echo", "beside"])).stdout.toString()).toBe("beside\n");
      console.socket.write("stty size; exit 5\n");
      expect(await channel.consoleExit).toBe(5);
      expect(await ended).toBe(0);
      expect(console.text).toContain("\n44 111\r\n");
    } finally {
      stop();
    }
  });
});
