/** Recordings that are out of the ordinary, read by Debian's own perf. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { ProfileBuilder } from "../../src/perf/builder.ts";
import { dsoShortName } from "../../src/perf/names.ts";
import type { Mode, Profile } from "../../src/perf/profile.ts";
import { saveRecording } from "./save-recording.ts";
import { INFO } from "./two-guests.ts";

const noPerf = spawnSync("perf", ["--version"]).error !== undefined;
if (noPerf) console.warn("perf-data-cases: skipped, for want of perf");

const scratch = mkdtempSync(join(tmpdir(), "viv-perf-cases-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const TEXT = -0x7f00_0000;

/** A profile of what each test adds, with names for the numbers. */
class Scene {
  readonly builder = new ProfileBuilder();
  #time = 0;

  guest(name: string, hostPid: number, vcpus = 1): number {
    const vcpuThreads = Array.from({ length: vcpus }, (_, i) => hostPid + 1 + i);
    return this.builder.guest({ name, hostPid, vcpuThreads, opaque: false });
  }
  kernel(guest: number): number {
    const dso = this.builder.dso({ kind: "kernel", guest, name: "[kernel.kallsyms]" });
    this.builder.kernelMap({ dso, start: TEXT, length: 0x20_0000 });
    return dso;
  }
  frame(dso: number, name: string, start: number, slide = 0, mode: Mode = "guest.kernel"): number {
    const symbol = this.builder.symbol({ name, dso, start, size: 64 });
    return this.builder.frame({ address: slide + start + 4, offset: start + 4, dso, symbol, mode });
  }
  sample(task: number, frames: readonly number[], options: { vcpu?: number; time?: number; mode?: Mode } = {}): void {
    const stack = frames.reduce((caller, frame) => this.builder.stack(caller, frame), -1);
    const { vcpu = 0, time = (this.#time += 1000), mode = "guest.kernel" } = options;
    this.builder.sample({ time, stack, task, vcpu, mode, weight: 10 });
  }
  build(): Profile {
    return this.builder.build(INFO);
  }
}

async function script(name: string, profile: Profile, ...more: readonly string[]): Promise<string[]> {
  const directory = join(scratch, name);
  await saveRecording(directory, profile, []);
  const fields = ["-F", "comm,pid,tid,time,event,ip,sym,dso,machine_pid,vcpu"];
  const { stdout, stderr, status } = spawnSync(
    "perf",
    ["--buildid-dir", directory, "script", "-i", directory, ...fields, ...more],
    { encoding: "utf8", maxBuffer: 1 << 28 },
  );
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return stdout
    .trim()
    .split(/\n\s*\n/)
    .map((sample) => {
      const [heading, ...rest] = sample.split("\n");
      const [, pid, vcpu, comm] = /VM: *(\d+) VCPU:0*(\d+) (.*?) +\d+\/\d+ /.exec(heading!)!;
      const frames = rest.map((line) => line.trim().replace(/^[0-9a-f]+ /, ""));
      return [`${pid}/${vcpu} ${comm}`, ...frames].join(" < ");
    });
}

describe.skipIf(noPerf)("a recording in Linux perf", () => {
  it("follows a process that runs one program after another", async () => {
    const scene = new Scene();
    const guest = scene.guest("g", 500);
    const [shell, program] = ["/bin/sh", "/bin/program"].map((name) =>
      scene.builder.dso({ kind: "user", guest, name }),
    );
    const slide = 0x5500_0000_0000;
    for (const dso of [shell!, program!]) {
      const place = { start: slide, length: 0x10000, pageOffset: 0, protection: 5 };
      scene.builder.mapping({ guest, pid: 7, dso, ...place });
    }
    const [before, after] = ["sh", "program"].map((comm) => scene.builder.task({ guest, pid: 7, tid: 7, comm }));
    const [inShell, inProgram] = [
      scene.frame(shell!, "read_command", 0x1000, slide, "guest.user"),
      scene.frame(program!, "compute", 0x1000, slide, "guest.user"),
    ];
    const user = { mode: "guest.user" } as const;
    scene.sample(before!, [inShell], user);
    scene.sample(after!, [inProgram], user);
    scene.sample(after!, [inProgram], user);
    scene.sample(before!, [inShell], user);
    expect(await script("exec", scene.build())).toEqual([
      "500/0 sh < read_command (/bin/sh)",
      "500/0 program < compute (/bin/program)",
      "500/0 program < compute (/bin/program)",
      "500/0 sh < read_command (/bin/sh)",
    ]);
  });

  it("names modules and the host's work where nothing of a kernel was seen before them", async () => {
    const scene = new Scene();
    const guest = scene.guest("opaque", 600, 2);
    const module = scene.builder.dso({ kind: "module", guest, name: "first" });
    scene.builder.kernelMap({ dso: module, start: -0x3fe0_0000, length: 4096 });
    const device = scene.builder.dso({ kind: "label", guest: -1, name: "virtio-net" });
    const task = scene.builder.task({ guest, pid: 0, tid: 0, comm: "vCPU" });
    const label = scene.builder.frame({ address: 0, offset: 0, dso: device, symbol: -1, mode: "host" });
    scene.sample(task, [label], { mode: "host", vcpu: 1 });
    scene.sample(task, [scene.frame(module, "init", -0x3fe0_0000)]);
    const bare = scene.builder.frame({ address: -0x7eff_0000, offset: 0, dso: -1, symbol: -1, mode: "guest.kernel" });
    scene.sample(task, [bare]);
    const lines = await script("opaque", scene.build());
    expect(lines).toEqual([
      "600/1 vCPU < virtio-net (virtio-net)",
      "600/0 vCPU < init ([first])",
      "600/0 vCPU < [unknown] ([unknown])",
    ]);
  });

  it("tells guests of one process apart", async () => {
    const scene = new Scene();
    const lines: string[] = [];
    for (const [i, name] of ["one", "two", "three"].entries()) {
      const guest = scene.guest(name, 700);
      const kernel = scene.kernel(guest);
      const task = scene.builder.task({ guest, pid: 1, tid: 1, comm: name });
      scene.sample(task, [scene.frame(kernel, `of_${name}`, TEXT + 64 * (3 - i))]);
    }
    const profile = scene.build();
    profile.guests.forEach(({ name }, i) => {
      const machine = 700 + i * 2 ** 22;
      expect(dsoShortName(profile, i)).toBe(`[guest.kernel.kallsyms.${machine}]`);
      lines.push(`${machine}/0 ${name} < of_${name} ([guest.kernel.kallsyms.${machine}])`);
    });
    expect(await script("one-process", profile)).toEqual(lines);
  });

  it("puts the samples of all vCPUs in the order of time", async () => {
    const scene = new Scene();
    const guest = scene.guest("g", 800, 2);
    const kernel = scene.kernel(guest);
    const task = scene.builder.task({ guest, pid: 1, tid: 1, comm: "t" });
    for (const vcpu of [0, 1]) {
      // More than perf sorts at once.
      for (let i = 0; i < 10_000; i++) {
        scene.sample(task, [scene.frame(kernel, `f${vcpu}`, TEXT + 64 * vcpu)], { vcpu, time: 2000 * i + 1000 * vcpu });
      }
    }
    const lines = await script("order", scene.build());
    expect(lines).toHaveLength(20_000);
    expect(lines.every((line, i) => line.startsWith(`800/${i % 2} t < f${i % 2} `))).toBe(true);
  });

  it("keeps the innermost of a stack that is too deep for a record", async () => {
    const scene = new Scene();
    const guest = scene.guest("deep", 900);
    const kernel = scene.kernel(guest);
    const task = scene.builder.task({ guest, pid: 1, tid: 1, comm: "t" });
    scene.sample(
      task,
      Array.from({ length: 20_000 }, (_, i) => scene.frame(kernel, `f${i % 100}`, TEXT + 64 * (i % 100))),
    );
    const [line] = await script("deep", scene.build(), "--max-stack", "20000");
    const frames = line!.split(" < ").slice(1);
    expect(frames.length).toBeGreaterThan(8000);
    frames.forEach((frame, i) => {
      expect(frame).toBe(`f${(19_999 - i) % 100} ([guest.kernel.kallsyms.900])`);
    });
  });

  it("survives names that are no names", async () => {
    const names = [
      "",
      " ",
      "a\nb c\td",
      "\u001b[31mred",
      "[kernel.kallsyms]",
      "x".repeat(70_000),
      "ü\u2028ö",
      "../../etc/passwd",
      "%s%n",
      ";|;",
    ];
    const scene = new Scene();
    const guest = scene.guest("\u001b[2J", 950);
    const kernel = scene.kernel(guest);
    for (const [i, name] of names.entries()) {
      const task = scene.builder.task({ guest, pid: i + 1, tid: i + 1, comm: name });
      const module = scene.builder.dso({ kind: "module", guest, name });
      const start = -0x3fe0_0000 + i * 4096;
      scene.builder.kernelMap({ dso: module, start, length: 4096 });
      const user = scene.builder.dso({ kind: "user", guest, name: `${name}/` });
      const slide = 0x5500_0000_0000 + i * 0x10_0000;
      scene.builder.mapping({ guest, pid: i + 1, start: slide, length: 8192, pageOffset: 0, dso: user, protection: 5 });
      scene.sample(task, [
        scene.frame(user, `u${name}`, 0x1000, slide, "guest.user"),
        scene.frame(kernel, `k${i}${name}`, TEXT + 64 * i),
        scene.frame(module, `m${name}`, start),
      ]);
    }
    const lines = await script("names", scene.build());
    expect(lines).toHaveLength(names.length);
    for (const [i, line] of lines.entries()) {
      expect(line).not.toMatch(/\p{Cc}/u);
      const frames = line.split(" < ").slice(1);
      expect(frames.map((frame) => frame.slice(0, 2))).toEqual([
        expect.stringMatching(/^m/),
        `k${i}`,
        expect.stringMatching(/^u/),
      ]);
    }
  });
});
