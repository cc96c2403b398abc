/** Looking into guests and profiling them with the library: a guest of this process, and the same guest as other processes reach it. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  exportProfile,
  INSPECTION_NAMES,
  type Inspections,
  mergeRecordings,
  type ObservedGuest,
  openRecording,
  type Profile,
  type ProfileFormat,
  type RecordedGuests,
  type RemoteVm,
  saveRecording,
  Vm,
} from "#dist/sys/node/index.js";
import { MODES } from "../../src/perf/profile.ts";

const BUSY = ["sh", "-c", "while true; do md5sum /bin/busybox >/dev/null; done"];
const hasPerf = spawnSync("perf", ["--version"]).error === undefined;

let scratch = "";
let runtime: string | undefined;
let own: Vm;
let remote: RemoteVm;
let shut: Vm;

/** What a command of the guest prints. */
async function says(...argv: readonly string[]): Promise<string> {
  const parts: Uint8Array[] = [];
  const { exitCode } = await own.exec(argv, { onStdout: (data) => void parts.push(data.slice()) });
  expect({ argv, exitCode }).toMatchObject({ exitCode: 0 });
  return Buffer.concat(parts).toString();
}
const linesOf = (text: string): string[] => text.split("\n").filter((line) => line !== "");

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "vivarium-library-"));
  runtime = process.env["XDG_RUNTIME_DIR"];
  process.env["XDG_RUNTIME_DIR"] = scratch;
  [own, shut] = await Promise.all([
    Vm.start({ memory: "128M", name: "web" }),
    Vm.start({ memory: "128M", unlisted: true, opaque: true }),
  ]);
  await Promise.all([own.ready, shut.ready]);
  remote = await Vm.connect("web");
  // On the console, so that the guest still runs commands for the tests.
  await own.exec(["sh", "-c", `setsid ${BUSY[0]} -c '${BUSY[2]}' </dev/null >/dev/null 2>&1 &`]);
});
afterAll(async () => {
  remote?.disconnect();
  await Promise.all([own?.stop(), shut?.stop()]);
  if (runtime === undefined) delete process.env["XDG_RUNTIME_DIR"];
  else process.env["XDG_RUNTIME_DIR"] = runtime;
  rmSync(scratch, { recursive: true, force: true });
});

/** Names of functions that a profile's samples are in, or that called these. */
const functionsOf = ({ symbols, frames }: Profile): Set<string> =>
  new Set([...frames.symbol].flatMap((symbol) => (symbol < 0 ? [] : [symbols[symbol]!.name])));
const countOf = ({ profile }: RecordedGuests): number => profile.samples.time.length;

describe.each([
  ["of this process", () => own],
  ["of another process", () => remote],
] as const)("a guest %s", (_, of) => {
  let guest: ObservedGuest;
  beforeAll(() => {
    guest = of();
  });

  it("tells what runs inside, as the guest itself does", async () => {
    const names = await guest.inspect("names");
    expect([names.kernel, names.hostname]).toEqual([
      (await says("uname", "-r")).trim(),
      (await says("hostname")).trim(),
    ]);
    const shown = async () => linesOf(await says("sh", "-c", "ls /proc | grep '^[0-9]'")).map(Number);
    const before = await shown();
    const tasks = await guest.inspect("tasks");
    const after = await shown();
    const pids = tasks.rows.map(({ pid }) => pid);
    const stayed = before.filter((pid) => after.includes(pid));
    expect(stayed.length).toBeGreaterThan(20);
    expect(stayed.filter((pid) => !pids.includes(pid))).toEqual([]);
    expect(tasks.rows.find(({ pid }) => pid === 1)).toMatchObject({ comm: "init", uid: 0, kernelThread: false });
    expect(new Map(tasks.users).get(0)).toBe("root");
    const maps = linesOf(await says("cat", "/proc/1/maps")).filter((line) => !line.includes("[vsyscall]"));
    const areas = (await guest.inspect("maps", 1)).rows;
    expect(
      areas.map(({ start, end, protection }) => `${start.toString(16)}-${end.toString(16)} ${protection}`),
    ).toEqual(maps.map((line) => line.split(" ").slice(0, 2).join(" ").replace(/^0+/, "").replace(/-0+/, "-")));
    const files = (await guest.inspect("files", 1)).rows.map(({ fd }) => fd);
    expect(files).toEqual(
      linesOf(await says("ls", "/proc/1/fd"))
        .map(Number)
        .sort((a, b) => a - b),
    );
    const loaded = (await guest.inspect("modules")).map(({ name }) => name);
    expect(loaded.sort()).toEqual(
      linesOf(await says("cat", "/proc/modules"))
        .map((line) => line.split(" ")[0])
        .sort(),
    );
    const entries = (await guest.inspect("ls", "/bin")).rows.map(({ name }) => name);
    expect(entries.filter((name) => name !== "." && name !== "..").sort()).toEqual(
      linesOf(await says("ls", "-a", "/bin"))
        .filter((name) => name !== "." && name !== "..")
        .sort(),
    );
    expect((await guest.inspect("mounts")).rows.map(({ path }) => path)).toEqual(
      linesOf(await says("cat", "/proc/mounts")).map((line) => line.split(" ")[1]),
    );
    expect((await guest.inspect("dmesg")).rows.some(({ text }) => text.startsWith("Linux version"))).toBe(true);
    expect((await guest.inspect("net")).devices.rows.map(({ name }) => name)).toContain("lo");
    const [thread] = await guest.inspect("stack", 1);
    expect(thread).toMatchObject({ tid: 1, comm: "init" });
    expect(thread!.frames.at(0)).toMatchObject({ kernel: true, name: expect.stringContaining("schedule") });
  });

  it("gives the bytes of files, part by part or as a whole", async () => {
    expect(Buffer.from(await guest.readFile("/etc/passwd").bytes()).toString()).toBe(await says("cat", "/etc/passwd"));
    const hash = createHash("md5");
    const file = guest.readFile("/bin/busybox");
    let parts = 0;
    for await (const bytes of file) {
      hash.update(bytes);
      if (parts++ % 4 === 0) await delay(5);
    }
    expect(parts).toBeGreaterThan(4);
    expect(await file.holes).toEqual([]);
    expect(hash.digest("hex")).toBe((await says("md5sum", "/bin/busybox")).split(" ")[0]);

    await says("sh", "-c", "printf begin >/tmp/holes; printf end | dd of=/tmp/holes bs=4096 seek=3 2>/dev/null");
    const holed = guest.readFile("/tmp/holes");
    const there: Uint8Array[] = [];
    for await (const bytes of holed) there.push(bytes);
    expect(Buffer.concat(there).toString()).toBe(`begin${"\0".repeat(4091)}end`);
    expect((await holed.holes).map(({ offset, length }) => [offset, length])).toEqual([[4096, 8192]]);
    await expect(guest.readFile("/tmp/holes").bytes()).rejects.toMatchObject({ code: "guest.file-incomplete" });
  });

  it("can be left in the middle of a file", async () => {
    const file = guest.readFile("/bin/busybox");
    for await (const bytes of file) {
      expect(bytes.length).toBeGreaterThan(0);
      break;
    }
    await expect(file.holes).rejects.toMatchObject({ code: "guest.file-left" });
    expect(await guest.inspect("names")).toHaveProperty("kernel");
  });

  it("says what is wrong", async () => {
    await expect(guest.inspect("stack", 99_999)).rejects.toMatchObject({ code: "guest.no-such-task" });
    const file = guest.readFile("/nothing");
    await expect(file.bytes()).rejects.toMatchObject({ code: "guest.no-such-file" });
    await expect(file.holes).rejects.toMatchObject({ code: "guest.no-such-file" });
    await expect(guest.readFile("/etc").bytes()).rejects.toMatchObject({ code: "guest.no-file" });
    await expect(guest.record({})).rejects.toMatchObject({ code: "perf.options" });
    await expect(guest.countExits({})).rejects.toMatchObject({ code: "perf.options" });
  });

  it("is recorded for some time", async () => {
    const begun = performance.now();
    const recording = await guest.record({ seconds: 1.5, frequency: 499 });
    expect(performance.now() - begun).toBeGreaterThan(1400);
    const { info, guests } = recording.profile;
    expect(info).toMatchObject({ event: "cpu-clock", unit: "ns", lost: 0 });
    expect(info.duration / 1e9).toBeGreaterThan(1.4);
    expect(guests).toMatchObject([{ name: "web", hostPid: process.pid, opaque: false }]);
    expect(countOf(recording)).toBeGreaterThan(200);
    expect(functionsOf(recording.profile)).toContain("entry_SYSCALL_64_after_hwframe");

    const directory = join(scratch, "perf.data");
    await saveRecording(directory, recording);
    const { profile, codeOf } = await openRecording(directory);
    expect(profile).toEqual(recording.profile);
    expect(codeOf).toBeTypeOf("function");
    if (!hasPerf) return;
    const words = ["--buildid-dir", directory, "report", "-i", directory, "--stdio", "--no-children", "-g", "none"];
    expect(spawnSync("perf", words, { encoding: "utf8" }).stdout).toMatch(/% +md5sum +busybox /);
  });

  it("is recorded until a signal, by instructions, without callers", async () => {
    const enough = new AbortController();
    setTimeout(() => enough.abort(), 1000);
    const recording = await guest.record({
      event: "instructions",
      period: 100_000,
      callGraph: false,
      signal: enough.signal,
    });
    const { info, stacks, samples, frames } = recording.profile;
    expect(info).toMatchObject({ event: "instructions", unit: "instructions", period: 100_000 });
    expect(samples.time.length).toBeGreaterThan(50);
    // Only the host's work hangs below something.
    const called = [...stacks.frame].filter((_, i) => stacks.caller[i]! >= 0);
    expect(called.map((frame) => MODES[frames.mode[frame]!]).filter((mode) => mode !== "host")).toEqual([]);
    const gone = await guest.record({ signal: AbortSignal.abort() });
    expect(gone.profile.info.duration).toBeLessThan(1e9);
  });

  it("is recorded where its tasks wait", async () => {
    const { profile } = await guest.record({ event: "off-cpu", seconds: 0.5 });
    expect(profile.info.event).toBe("off-cpu");
    expect([...functionsOf(profile)].join(" ")).toMatch(/do_sigtimedwait/);
  });

  it("is recorded by one at a time", async () => {
    const first = guest.record({ seconds: 1 });
    await delay(300);
    await expect(guest.record({ seconds: 1 })).rejects.toMatchObject({ code: "perf.busy" });
    await expect(guest.countExits({ seconds: 1 })).rejects.toMatchObject({ code: "perf.busy" });
    expect(countOf(await first)).toBeGreaterThan(100);
  });

  it("gives profiles one after the other, until there are enough", async () => {
    const counts: number[] = [];
    for await (const profile of guest.profiles({ seconds: 30, every: 0.4 })) {
      counts.push(profile.samples.time.length);
      expect(profile.info.duration / 1e9).toBeGreaterThan(0.3);
      if (counts.length === 3) break;
    }
    expect(Math.min(...counts)).toBeGreaterThan(50);
    const all: Profile[] = [];
    for await (const profile of guest.profiles({ seconds: 1, every: 0.4 })) all.push(profile);
    expect(all.length).toBeGreaterThanOrEqual(2);
  });

  it("has its exits counted", async () => {
    const { duration, exits, counters } = await guest.countExits({ seconds: 1 });
    expect(duration / 1e9).toBeGreaterThan(0.95);
    const wrmsr = exits.find(({ reason }) => reason === "operation wrmsr")!;
    expect(wrmsr.count).toBeGreaterThan(10);
    expect(wrmsr.histogram.reduce((sum, count) => sum + count, 0)).toBe(wrmsr.count);
    expect(counters.find(({ name }) => name === "instructions")!.value).toBeGreaterThan(1e6);
  });
});

it("gives the same of either", async () => {
  // A process that sleeps, and what does not change.
  const sleeper = Number(await says("sh", "-c", "setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $!"));
  await delay(500);
  for (const what of ["names", "modules", "mounts"] as const) {
    expect(await own.inspect(what)).toEqual(await remote.inspect(what));
  }
  for (const what of ["maps", "files", "stack"] as const) {
    expect(await own.inspect(what, sleeper)).toEqual(await remote.inspect(what, sleeper));
  }
  expect(await own.inspect("ls", "/etc")).toEqual(await remote.inspect("ls", "/etc"));
  const rows = (tasks: Inspections["tasks"]) => tasks.rows.find(({ pid }) => pid === sleeper);
  expect(rows(await own.inspect("tasks"))).toEqual(rows(await remote.inspect("tasks")));
});

it("does not look into a guest that is opaque, and profiles it by address", async () => {
  for (const what of INSPECTION_NAMES) {
    await expect(shut.inspect(what as "names")).rejects.toMatchObject({ code: "guest.opaque" });
  }
  await expect(shut.readFile("/etc/passwd").bytes()).rejects.toMatchObject({ code: "guest.opaque" });
  await expect(shut.record({ event: "off-cpu", seconds: 1 })).rejects.toMatchObject({ code: "guest.opaque" });
  const busy = shut.run(BUSY);
  const { profile } = await shut.record({ seconds: 1 });
  busy.signal("KILL");
  await busy.result;
  // Nothing is left of a recording in the next one: here it would have more frames than there are.
  expect(countOf(await shut.record({ seconds: 0.5 }))).toBeLessThan(1000);
  expect(profile.guests).toMatchObject([{ name: "unlisted", opaque: true }]);
  expect(profile.samples.time.length).toBeGreaterThan(100);
  expect(profile.symbols.filter(({ dso }) => profile.dsos[dso]!.kind !== "label")).toEqual([]);
  expect((await shut.countExits({ seconds: 0.3 })).exits.length).toBeGreaterThan(0);
});

it("makes one recording of several guests, and other tools' files of it", async () => {
  const busy = shut.run(BUSY);
  const both = await Promise.all([remote.record({ seconds: 1 }), shut.record({ seconds: 1 })]);
  busy.signal("KILL");
  await busy.result;
  const merged = await mergeRecordings(both);
  expect(merged.profile.guests.map(({ name }) => name)).toEqual(["web", "unlisted"]);
  expect(countOf(merged)).toBe(countOf(both[0]) + countOf(both[1]));
  expect(merged.attachments).toHaveLength(2);
  await saveRecording(join(scratch, "both"), merged);
  expect((await openRecording(join(scratch, "both"))).profile).toEqual(merged.profile);

  const file = async (format: ProfileFormat): Promise<Buffer> => {
    const parts: Uint8Array[] = [];
    for await (const part of exportProfile(merged.profile, format)) parts.push(Buffer.from(part));
    return Buffer.concat(parts);
  };
  expect((await file("collapsed")).toString()).toMatch(/^web;md5sum;.* \d+$/m);
  expect(JSON.parse((await file("firefox")).toString())).toHaveProperty("threads");
  expect(JSON.parse((await file("speedscope")).toString())).toHaveProperty("shared.frames");
  expect(gunzipSync(await file("pprof")).toString("latin1")).toContain("md5sum");
  expect((await file("html")).toString()).toMatch(/^<!doctype html>/i);
  await expect(file("excel" as ProfileFormat)).rejects.toMatchObject({ code: "perf.format" });
  await expect(mergeRecordings([])).rejects.toMatchObject({ code: "perf.nothing" });
  await expect(saveRecording(process.cwd(), merged)).rejects.toMatchObject({ code: "perf.output" });
});
