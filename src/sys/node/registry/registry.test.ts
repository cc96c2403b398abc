/** The registry within one process, with machines that are none; tests/cli has it between processes, with real guests. */
import { spawn } from "node:child_process";
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { HostLink } from "../../../vmm/link.ts";
import type { MachineEnd } from "../../../vmm/machine.ts";
import { GUEST_ENTRY } from "../../../vmm/registry/guest.ts";
import { VirtualMachine } from "../../../vmm/virtual-machine.ts";
import type { Surroundings } from "./directory.ts";
import { readEntries, readEntry } from "./entries.ts";
import { connectGuest, listGuests } from "./guests.ts";
import { type Listing, list } from "./listing.ts";

const GUEST = { vcpus: 1, memory: 2 ** 28, accelerator: "software", opaque: false } as const;

const noObserver = (): Promise<never> => Promise.reject(new Error("nobody looks inside here"));

describe("the registry", () => {
  let where: Surroundings;
  let directory = "";
  const open: Listing[] = [];
  beforeEach(() => {
    const root = mkdtempSync(join(tmpdir(), "viv-registry-"));
    where = { environment: { XDG_RUNTIME_DIR: root }, uid: process.getuid!(), temporary: root, sessions: root };
    directory = join(root, "vivarium");
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map((listing) => listing.close()));
    rmSync(where.temporary, { recursive: true, force: true });
  });

  const enter = async (name?: string): Promise<Listing> => {
    const listing = await list(GUEST, name, where);
    open.push(listing);
    return listing;
  };
  const names = async (): Promise<readonly string[]> => (await listGuests(where)).map(({ name }) => name);

  const machine = () => {
    let end!: (end: MachineEnd) => void;
    const link = new HostLink();
    const vm = new VirtualMachine({
      thread: {
        link,
        ended: new Promise((resolve) => {
          end = resolve;
        }),
        onDoorbell: () => undefined,
        terminate: async () => end({ reason: "stopped" }),
      },
      agent: false,
      ram: new Uint8Array(0),
      random: () => undefined,
      delay: () => new Promise((resolve) => setTimeout(resolve, 1)),
    });
    return { vm, end };
  };

  it("lists what was entered, sorted, with files for the owner alone", async () => {
    expect(await names()).toEqual([]);
    await enter("web");
    const made = await enter();
    await enter("a.b");
    expect(await names()).toEqual(["a.b", "web", made.entry.name].sort());
    expect(made.entry.name).toMatch(/^[a-z]+-[a-z]+$/);
    const modes = readdirSync(directory).map((file) => [
      file.replace(/.*\./, ""),
      lstatSync(join(directory, file)).mode & 0o777,
    ]);
    modes.sort(([a], [b]) => String(a).localeCompare(String(b)));
    expect(modes).toEqual([...Array(3).fill(["json", 0o600]), ...Array(3).fill(["sock", 0o600])]);
  });

  it("tells what the guest is and does, from its name to its end", async () => {
    const listing = await enter("web");
    const booting = (await listGuests(where))[0]!;
    expect(booting).toMatchObject({ name: "web", state: "booting", uptime: 0, pid: process.pid, ...GUEST });
    const { vm, end } = machine();
    listing.run(vm, noObserver);
    await using guest = await connectGuest(listing.entry.id.slice(0, 5), where);
    expect((await guest.info()).state).toBe("running");
    await guest.pause();
    expect([vm.state, (await guest.info()).state]).toEqual(["paused", "paused"]);
    await guest.resume();
    expect(vm.state).toBe("running");
    await expect(guest.exec(["true"])).rejects.toMatchObject({ code: "exec.no-agent" });
    const over = guest.wait();
    // The request is there when a later one is answered.
    await guest.info();
    end({ reason: "exit", status: 5 });
    expect(await over).toEqual({ reason: "exit", status: 5 });
    await listing.close();
    expect([await names(), readdirSync(directory)]).toEqual([[], []]);
    await expect(connectGuest("web", where)).rejects.toMatchObject({ code: "guest.unknown" });
  });

  it("waits for the machine with what needs one, and says so where none comes", async () => {
    const listing = await enter("web");
    await using guest = await connectGuest("web", where);
    const paused = guest.pause();
    const { vm } = machine();
    listing.run(vm, noObserver);
    await paused;
    expect(vm.state).toBe("paused");
    expect(await guest.shutDown(0)).toBe(true);

    const failing = await enter("failing");
    await using other = await connectGuest("failing", where);
    const refused = expect(other.pause()).rejects.toMatchObject({ code: "guest.gone" });
    await failing.close();
    await refused;
  });

  it("gives a name to one, and again when it is free", async () => {
    const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => enter("web")));
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    for (const outcome of outcomes) {
      if (outcome.status === "rejected") expect(outcome.reason).toMatchObject({ code: "guest.name-taken" });
    }
    await open[0]!.close();
    await enter("web");
    expect(await names()).toEqual(["web"]);
    await expect(enter("a b")).rejects.toMatchObject({ code: "config.name" });
  });

  /** A process that took the name and was killed. */
  const dead = async (name: string, id: string): Promise<void> => {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const script = `require("net").createServer().listen(${JSON.stringify(join(directory, `${id}.sock`))}, () => process.kill(process.pid, "SIGKILL"))`;
    await new Promise((resolve) => spawn(process.execPath, ["-e", script]).on("exit", resolve));
    const entry = { version: 1, name, id, pid: 1, created: Date.now(), ...GUEST };
    writeFileSync(join(directory, `${name}.json`), JSON.stringify(GUEST_ENTRY.check(entry, "entry")));
  };

  it("takes out guests whose process was killed, and gives their name to one of those who want it", async () => {
    await dead("gone", "0123456789ab");
    await dead("web", "0123456789ac");
    expect(await names()).toEqual([]);
    expect(readdirSync(directory)).toEqual([]);
    for (let round = 0; round < 3; round++) {
      await dead("web", "0123456789ad");
      const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => enter("web")));
      expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
      expect(await names()).toEqual(["web"]);
      for (const listing of open.splice(0)) await listing.close();
      expect(readdirSync(directory)).toEqual([]);
    }
  });

  it("leaves a name alone that changed hands", async () => {
    const first = await enter("web");
    const { id } = first.entry;
    rmSync(join(directory, "web.json"));
    await enter("web");
    await first.close();
    expect(await names()).toEqual(["web"]);
    expect(existsSync(join(directory, `${id}.sock`))).toBe(false);
  });

  it("clears away what was left between two steps, when it is old", async () => {
    await enter("web");
    const old = new Date(Date.now() - 3_600_000);
    for (const file of [".aaaaaaaaaaaa.draft", "bbbbbbbbbbbb.sock", ".cccccccccccc.draft"]) {
      writeFileSync(join(directory, file), "");
      if (!file.includes("ccc")) utimesSync(join(directory, file), old, old);
    }
    expect(await names()).toEqual(["web"]);
    const left = readdirSync(directory).filter((file) => /[abc]{12}/.test(file));
    expect(left).toEqual([".cccccccccccc.draft"]);
  });

  it("does not fall over files that are no entries", async () => {
    await enter("web");
    const entry = readEntry(directory, "web")!.entry;
    const files = { "a.json": "", "b.json": "{", "c.json": JSON.stringify({ ...entry, name: "other" }) };
    const more = {
      "d.json": "x".repeat(1 << 20),
      "e.json": "[]",
      ".f.json": JSON.stringify(entry),
      "g.json": '{"id":"/"}',
    };
    for (const [file, content] of Object.entries({ ...files, ...more })) writeFileSync(join(directory, file), content);
    mkdirSync(join(directory, "h.json"));
    expect(readEntries(directory)).toHaveLength(1);
    expect(await names()).toEqual(["web"]);
    // Nobody may take such a name, and nobody takes the file away.
    await expect(enter("b")).rejects.toMatchObject({ code: "guest.name-taken" });
  });

  it("lists a guest that does not answer as such", async () => {
    await enter("web");
    await dead("hung", "0123456789ae");
    rmSync(join(directory, "0123456789ae.sock"));
    const deaf = createServer(() => undefined).listen(join(directory, "0123456789ae.sock"));
    const rows = await listGuests(where);
    expect(rows.map(({ name, state }) => [name, state])).toEqual([
      ["hung", "unresponsive"],
      ["web", "booting"],
    ]);
    deaf.close();
  });

  it("tells of an id what it cannot tell apart", async () => {
    await enter("web");
    await expect(connectGuest("", where)).rejects.toMatchObject({ code: "guest.unknown" });
    await expect(connectGuest("nobody", where)).rejects.toMatchObject({ code: "guest.unknown" });
  });

  it("says so where a socket's path is too long", async () => {
    const root = join(where.temporary, "x".repeat(100));
    mkdirSync(root);
    await expect(list(GUEST, "web", { ...where, environment: { XDG_RUNTIME_DIR: root } })).rejects.toMatchObject({
      code: "registry.path-too-long",
    });
  });

  it("goes on serving when somebody sends it noise, lengths without bytes, or does not read", async () => {
    const listing = await enter("web");
    listing.run(machine().vm, noObserver);
    const path = join(directory, `${listing.entry.id}.sock`);
    const send = (...parts: readonly Uint8Array[]): Promise<void> =>
      new Promise((resolve) => {
        const socket = connect(path, () => {
          for (const part of parts) socket.write(part);
          setTimeout(() => socket.destroy(), 50);
        });
        socket.on("error", () => undefined);
        socket.on("close", () => resolve());
      });
    const noise = Uint8Array.from({ length: 5000 }, (_, i) => (i * 7919) >> 3);
    const length = Uint8Array.of(0xff, 0xff, 0xff, 0xff);
    const almost = Uint8Array.of(0, 0, 0x10, 0);
    await Promise.all([send(noise), send(length), send(almost), send(almost, noise), send()]);
    const hello = Buffer.from('\x18\0\0\0\0\0\0\0\0\0{"vivarium":1}    ', "latin1");
    // Asks for ever and never reads an answer.
    const ask = Buffer.from('\x1c\0\0\0\x01\0\0\0\x01\0{"request":"info"}    ', "latin1");
    const greedy = connect(path).on("error", () => undefined);
    greedy.pause();
    greedy.write(hello);
    for (let i = 1; i < 40_000; i++) {
      ask.writeUInt32LE(i, 4);
      greedy.write(Buffer.from(ask));
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect((await listGuests(where)).map(({ state }) => state)).toEqual(["running"]);
    // It was not listened to any more: its requests wait on its own side.
    expect(greedy.writableLength).toBeGreaterThan(0);
    greedy.destroy();
  });
});
