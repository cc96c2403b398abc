/** The host's side of a machine, against a thread that is a script. */
import { describe, expect, it } from "vitest";
import { VivError } from "../base/index.ts";
import { BACKLOG } from "./console.ts";
import { HISTORY } from "./console-history.ts";
import { HostLink, MachineLink, REQUEST } from "./link.ts";
import type { MachineEnd } from "./machine.ts";
import { VirtualMachine } from "./virtual-machine.ts";

const text = (data: Uint8Array): string => String.fromCharCode(...data);
const bytes = (from: string): Uint8Array => Uint8Array.from(from, (c) => c.charCodeAt(0));
const soon = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));

const start = (agent = true) => {
  const link = new HostLink();
  let answer = (): void => undefined;
  const guest = new MachineLink(link.buffer, () => queueMicrotask(() => answer()));
  let end!: (end: MachineEnd) => void;
  let fail!: (error: unknown) => void;
  const ended = new Promise<MachineEnd>((resolve, reject) => {
    end = resolve;
    fail = reject;
  });
  const log: string[] = [];
  const vm = new VirtualMachine({
    thread: {
      link,
      ended,
      onDoorbell: (listener) => {
        answer = listener;
      },
      terminate: async () => {
        log.push("terminated");
        end({ reason: "stopped" });
      },
    },
    agent,
    ram: new Uint8Array(0),
    random: (into) => into.fill(0xab),
    delay: () => new Promise((resolve) => setTimeout(resolve, 1)),
  });
  const print = (port: number, what: string): void => {
    guest.serial[port]!.fromGuest.write(bytes(what));
    guest.ringDoorbell();
  };
  const read = (port: number): string => {
    const { toGuest } = guest.serial[port]!;
    const data = toGuest.peek(1 << 20);
    toGuest.consume(data.length);
    if (guest.hostWaits(port)) guest.ringDoorbell();
    return text(data);
  };
  return { vm, guest, end, fail, log, print, read };
};

const TOKEN = "ab".repeat(16);

describe("a virtual machine's console", () => {
  it("keeps the last of what was printed before anyone listened", async () => {
    const { vm, print } = start();
    for (let i = 0; i < 10; i++) {
      print(0, `${i}`.repeat(BACKLOG / 4));
      await soon();
    }
    let seen = "";
    vm.console.listen((data) => {
      seen += text(data);
    });
    expect(seen).toBe(["6", "7", "8", "9"].map((digit) => digit.repeat(BACKLOG / 4)).join(""));
  });

  it("is read beside the listener, from what was printed before to the end", async () => {
    const { vm, print, end } = start();
    print(0, "before ");
    await soon();
    const late = vm.console.reader(3);
    const reader = vm.console.reader(1000);
    let heard = "";
    vm.console.listen((data) => void (heard += text(data)));
    expect([text((await reader.read())!), text((await late.read())!), late.missed]).toEqual(["before ", "re ", 0]);
    const next = reader.read();
    print(0, "after");
    expect(text((await next)!)).toBe("after");
    const over = reader.read();
    const closed = late.read().then(() => late.read());
    late.close();
    end({ reason: "power-off" });
    expect([await over, await closed, heard]).toEqual([undefined, undefined, "before after"]);
  });

  it("does not hold the guest back for a reader, which misses what it is too slow for", async () => {
    const { vm, print, guest } = start();
    const reader = vm.console.reader(0);
    const piece = "x".repeat(HISTORY / 8);
    for (let i = 0; i < 12; i++) {
      print(0, piece);
      await soon();
      expect(guest.serial[0]!.fromGuest.available).toBe(0);
    }
    expect(reader.pending).toBe(1.5 * HISTORY);
    expect([reader.readNow().length > 0, reader.missed]).toEqual([true, HISTORY / 2]);
    expect(vm.console.reader(Number.POSITIVE_INFINITY)).toMatchObject({ pending: HISTORY, missed: HISTORY / 2 });
  });

  it("holds the guest back while its reader is busy, and ends when all is read", async () => {
    const { vm, print, end, guest } = start();
    print(0, "one ");
    const iterator = vm.console[Symbol.asyncIterator]();
    expect(text((await iterator.next()).value!)).toBe("one ");
    await soon();
    print(0, "two ");
    await soon();
    expect(guest.serial[0]!.fromGuest.available).toBe(4);
    end({ reason: "power-off" });
    await soon();
    expect(text((await iterator.next()).value!)).toBe("two ");
    expect(await iterator.next()).toEqual({ value: undefined, done: true });
  });

  it("tells when a slow listener has everything of a machine that is gone", async () => {
    const { vm, print, end } = start();
    const taken: (() => void)[] = [];
    vm.console.listen(() => new Promise((resolve) => void taken.push(resolve)));
    print(0, "last words");
    await soon();
    end({ reason: "power-off" });
    let drained = false;
    const done = vm.console.drained().then(() => {
      drained = true;
    });
    await soon();
    expect(drained).toBe(false);
    taken[0]!();
    await done;
  });

  it("types more than the line holds, at the guest's pace", async () => {
    const { vm, read } = start();
    const long = "0123456789".repeat(10_000);
    let sent = false;
    const sending = vm.console.write(bytes(long)).then(() => {
      sent = true;
    });
    let got = read(0);
    expect(got.length).toBeLessThan(long.length);
    expect(sent).toBe(false);
    while (got.length < long.length) {
      await soon();
      got += read(0);
    }
    await sending;
    expect(got).toBe(long);
  });
});

describe("a virtual machine", () => {
  it("runs a command over its other serial ports", async () => {
    const { vm, print, read } = start();
    let output = "";
    const result = vm.exec(["echo", "it's"], { onStdout: (data) => void (output += text(data)) });
    print(1, "vivarium ready 1\n");
    await vm.ready;
    expect(read(1)).toMatch(/^run 1 .*'echo' 'it'\\''s'\n$/);
    print(2, `${TOKEN}it's\n${TOKEN}`);
    print(3, TOKEN + TOKEN);
    print(1, "exit 1 3\n");
    expect(await result).toEqual({ exitCode: 3 });
    expect(output).toBe("it's\n");
  });

  it("says why a command cannot run without the default guest", async () => {
    const { vm } = start(false);
    await expect(vm.exec(["true"])).rejects.toMatchObject({ code: "exec.no-agent" });
    await expect(vm.ready).rejects.toMatchObject({ code: "exec.no-agent" });
  });

  it("rejects what waits when the guest ends, and tells how it ended", async () => {
    const { vm, end } = start();
    const run = vm.exec(["true"]);
    end({ reason: "triple-fault" });
    await expect(run).rejects.toMatchObject({ code: "vm.ended", message: expect.stringContaining("triple fault") });
    expect(await vm.wait()).toEqual({ reason: "triple-fault" });
  });

  it("hands a failure of its thread to everyone who waits", async () => {
    const { vm, fail } = start();
    const run = vm.exec(["true"]);
    fail(new VivError("vm.crashed", "it broke"));
    await expect(run).rejects.toMatchObject({ code: "vm.crashed" });
    await expect(vm.wait()).rejects.toMatchObject({ code: "vm.crashed" });
    await vm.stop();
  });

  it("asks its thread to stop before it is ended by force", async () => {
    const { vm, guest, log, end } = start();
    const stopping = vm.stop();
    expect(guest.stopping).toBe(true);
    end({ reason: "stopped" });
    await stopping;
    expect(await vm.wait()).toEqual({ reason: "stopped" });
    const hung = start();
    await hung.vm[Symbol.asyncDispose]();
    expect(hung.log).toEqual(["terminated"]);
    expect(log).toEqual(["terminated"]);
  });

  it("says what it does", async () => {
    const { vm, print, end } = start();
    expect(vm.state).toBe("booting");
    vm.pause();
    expect(vm.state).toBe("paused");
    vm.resume();
    print(1, "vivarium ready 1\n");
    await vm.ready;
    expect([vm.state, start(false).vm.state]).toEqual(["running", "running"]);
    end({ reason: "power-off" });
    await vm.wait();
    expect(vm.state).toBe("ended");
  });

  it("asks its guest to shut down, however far that is, before it is switched off", async () => {
    const { vm, guest, print, read, end } = start();
    vm.pause();
    const forced = vm.shutDown(1000);
    expect(guest.takeRequests()).toBe(REQUEST.powerButton);
    print(1, "vivarium ready 1\n");
    await vm.ready;
    expect(read(3)).toBe("down\n");
    end({ reason: "power-off" });
    expect(await forced).toBe(false);

    const deaf = start();
    expect(await deaf.vm.shutDown(5)).toBe(true);
    expect([deaf.guest.stopping, deaf.log]).toEqual([true, ["terminated"]]);
    const now = start();
    expect(await now.vm.shutDown(0)).toBe(true);
    expect(now.guest.takeRequests()).toBe(REQUEST.stop);
  });

  it("runs a command on its console", async () => {
    const { vm, print, read } = start();
    const started = vm.runOnConsole(["top", "-b"]);
    print(1, "vivarium ready 1\n");
    await vm.ready;
    expect(read(1)).toMatch(/ setsid -- 'setsid' '\/lib\/vivarium\/console' 'top' '-b'\n$/);
    print(2, TOKEN + TOKEN);
    print(3, TOKEN + TOKEN);
    print(1, "exit 1 0\nconsole 4\n");
    await started;
    expect(await vm.consoleExit).toBe(4);
  });

  it("passes its buttons on", () => {
    const { vm, guest } = start();
    vm.pause();
    vm.pressPowerButton();
    vm.reset();
    vm.raiseNmi();
    expect(guest.takeRequests()).toBe(REQUEST.paused | REQUEST.powerButton | REQUEST.reset | REQUEST.nmi);
    vm.resume();
    expect(guest.takeRequests()).toBe(0);
  });

  it("says so where the host has nobody to look inside", async () => {
    const { vm } = start();
    const refused = { code: "guest.no-observer" };
    await expect(vm.inspect("tasks")).rejects.toMatchObject(refused);
    await expect(vm.readFile("/etc/passwd").bytes()).rejects.toMatchObject(refused);
    await expect(vm.record({ seconds: 1 })).rejects.toMatchObject(refused);
    await expect(vm.profiles({ seconds: 1 }).next()).rejects.toMatchObject(refused);
    await expect(vm.countExits({ seconds: 1 })).rejects.toMatchObject(refused);
  });
});
