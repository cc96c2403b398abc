/**
 * A guest that is busy in a kernel module, in the kernel, in a stripped program and in the C library, recorded while it runs: frames of all
 * four are named, and callers are right to the thread's beginning.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { RecordedGuests } from "../../src/perf/attachments.ts";
import type { Profile } from "../../src/perf/profile.ts";
import { defaultOptions, report } from "../../src/perf/report/rows.ts";
import { reportLines } from "../../src/perf/report/text.ts";
import { debugFile } from "../../src/sys/node/debug-files.ts";
import { saveRecording } from "../../src/sys/node/recordings.ts";
import type { RecordedMemory } from "../../src/vmm/observer/attachments.ts";
import { Observer } from "../../src/vmm/observer/observer.ts";
import type { RecordOrder } from "../../src/vmm/observer/orders.ts";
import { RecordingReader, recordingParts } from "../../src/vmm/observer/recording-parts.ts";
import { bootTestGuest, type TestGuest } from "../guest/boot.ts";
import { kernelMissing, TEST_KERNEL_NAMES } from "../guest/kernels.ts";

const SECONDS = 4;
/** Of all samples that a place has at least: the program gives each about a quarter. */
const LEAST_SHARE = 0.015;

function programs(): Record<string, Uint8Array> {
  const directory = mkdtempSync(join(tmpdir(), "vivarium-busy-"));
  try {
    const source = fileURLToPath(new URL("busy.c", import.meta.url));
    const made = (name: string, ...flags: string[]) => {
      execFileSync("gcc", ["-O2", ...flags, "-o", join(directory, name), source]);
      return readFileSync(join(directory, name));
    };
    const library = (name: string) => readFileSync(realpathSync(`/lib/x86_64-linux-gnu/${name}`));
    return {
      "bin/busy": made("busy"),
      "bin/busy-stripped": made("busy-stripped", "-s"),
      "lib64/ld-linux-x86-64.so.2": library("ld-linux-x86-64.so.2"),
      "lib/x86_64-linux-gnu/libc.so.6": library("libc.so.6"),
    };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Chains of functions, innermost first, each with its weight. */
function chains(profile: Profile, wanted: string): { readonly names: string[]; readonly weight: number }[] {
  const { samples, stacks, frames, symbols, dsos, tasks } = profile;
  return Array.from(samples.stack, (first, i) => {
    const names: string[] = [];
    for (let stack = first; stack >= 0; stack = stacks.caller[stack]!) {
      const frame = stacks.frame[stack]!;
      const dso = dsos[frames.dso[frame]!]?.name.split("/").at(-1) ?? "?";
      names.push(`${symbols[frames.symbol[frame]!]?.name ?? "-"}@${dso}`);
    }
    return { names, weight: samples.weight[i]!, comm: tasks[samples.task[i]!]!.comm };
  }).filter(({ comm }) => comm === wanted);
}

/** The share of the samples whose chain, as one line, looks like this. */
function share(all: ReturnType<typeof chains>, pattern: RegExp): number {
  const sum = (some: typeof all) => some.reduce((total, { weight }) => total + weight, 0);
  return sum(all.filter(({ names }) => pattern.test(names.join(" ")))) / sum(all);
}

const hasPerf = spawnSync("perf", ["--version"]).error === undefined;

/** The first rows of what Debian's perf prints of a recording, and of what we do. */
async function topTens(recording: RecordedGuests) {
  const scratch = mkdtempSync(join(tmpdir(), "vivarium-recording-"));
  try {
    const directory = join(scratch, "perf.data");
    await saveRecording(directory, recording);
    const read = (lines: readonly string[]) =>
      lines
        .flatMap((line) => {
          const match = /^ +([\d.]+)% +(\S+) +(\S+) +\[.\] (.*?) *$/.exec(line);
          // Where code has no name each of the two shows an address of its own kind.
          return match && !/^(0x)?0*[0-9a-f]{16}$/.test(match[4]!)
            ? [{ percent: Number(match[1]), row: `${match[2]} ${match[3]} ${match[4]}` }]
            : [];
        })
        .slice(0, 10);
    const words = ["--buildid-dir", directory, "report", "-i", directory, "--stdio", "--no-children", "-g", "none"];
    const perf = spawnSync("perf", words, { encoding: "utf8", maxBuffer: 1 << 28 });
    const { profile } = recording;
    const options = { ...defaultOptions(profile), children: false, graph: false };
    return [
      read(perf.stdout.split("\n")),
      read([...reportLines(report(profile, options), { percentLimit: 0 })]),
    ] as const;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

describe.each(TEST_KERNEL_NAMES)("a recording of Debian's %s", async (kernel) => {
  const missing = await kernelMissing(kernel);
  let guest: TestGuest;
  let observer: Observer;
  beforeAll(async () => {
    if (missing !== undefined) return;
    guest = await bootTestGuest(kernel, { files: programs(), modules: ["af_alg", "algif_hash", "md4"] });
    observer = new Observer(guest.observed, {
      now: () => Math.floor(performance.now() * 1e6),
      wallTime: () => Date.now(),
      pause: (milliseconds) => delay(Math.max(0, milliseconds)),
      sleep: (milliseconds) =>
        void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Math.max(0, milliseconds)),
      // perf looks there, too.
      debugFiles: debugFile,
      about: { hostname: "host", hostKernel: "6", cpu: "cpu", cpus: 1, version: "0" },
    });
  });
  afterAll(() => guest?.[Symbol.asyncDispose]());

  async function record(command: string, order: Partial<RecordOrder> = {}) {
    await guest.sh(`${command} >/dev/null 2>&1 </dev/null & echo $! >/run/pid; sleep 1`);
    const reader = new RecordingReader("g");
    let memory: RecordedMemory | undefined;
    const whole = { event: "cpu-clock", period: 1e9 / 999, callGraph: true, every: 0, ...order } as const;
    await observer.record(whole, delay(SECONDS * 1000), async (made, with_) => {
      for (const part of recordingParts(made, with_)) await reader.take(part);
      memory = with_;
    });
    await guest.sh("kill $(cat /run/pid)");
    return { profile: reader.recording.profile, memory: memory!, recording: reader.recording };
  }

  it.skipIf(missing !== undefined)("names what a program does, and all its callers", async () => {
    const { profile, memory, recording } = await record("/bin/busy");
    const all = chains(profile, "busy");
    expect(all.length).toBeGreaterThan(500);
    const end = "main@busy \\S+@libc.so.6 __libc_start_main\\S*@libc.so.6 _start@busy$";
    const kernelToUser = "(\\S+@\\[kernel.kallsyms\\] )+";
    expect(share(all, new RegExp(`^innermost@busy in_program@busy ${end}`))).toBeGreaterThan(LEAST_SHARE);
    expect(share(all, new RegExp(`^(\\S+@libc.so.6 |compare@busy )+in_library@busy ${end}`))).toBeGreaterThan(
      LEAST_SHARE,
    );
    expect(
      share(
        all,
        new RegExp(
          `^\\S*@\\[md4\\] (\\S+@\\[\\S+\\] )*entry_SYSCALL_64_after_hwframe@\\[kernel.kallsyms\\] \\S+@libc.so.6 in_module@busy ${end}`,
        ),
      ),
    ).toBeGreaterThan(LEAST_SHARE);
    expect(
      share(all, new RegExp(`^${kernelToUser}\\S+@libc.so.6 (\\S+@libc.so.6 )*in_kernel@busy ${end}`)),
    ).toBeGreaterThan(LEAST_SHARE);
    // What is cut short or has no name is the exception.
    expect(share(all, /_start@busy$/)).toBeGreaterThan(0.97);
    expect(memory.files.size).toBeGreaterThanOrEqual(2);
    expect(Buffer.from(memory.kallsyms).toString("latin1")).toContain("md4_transform\t[md4]");

    if (!hasPerf) return;
    const [theirs, ours] = await topTens(recording);
    expect(theirs.map(({ row }) => row)).toEqual(ours.map(({ row }) => row));
    for (const [i, { percent }] of theirs.entries()) expect(Math.abs(percent - ours[i]!.percent)).toBeLessThan(1);
  });

  it.skipIf(missing !== undefined)("follows a stripped program as far", async () => {
    const { profile } = await record("/bin/busy-stripped");
    const all = chains(profile, "busy-stripped");
    const own = "-@busy-stripped";
    expect(
      share(all, new RegExp(`^${own} ${own} ${own} \\S+@libc.so.6 __libc_start_main\\S*@libc.so.6 ${own}$`)),
    ).toBeGreaterThan(LEAST_SHARE);
  });

  it.skipIf(missing !== undefined)("samples by instructions, one in so many", async () => {
    const { profile } = await record("/bin/busy", { event: "instructions", period: 500_000 });
    const all = chains(profile, "busy");
    expect(all.length).toBeGreaterThan(200);
    const mean = all.reduce((sum, { weight }) => sum + weight, 0) / all.length;
    expect(mean).toBeGreaterThan(450_000);
    expect(mean).toBeLessThan(550_000);
  });

  it.skipIf(missing !== undefined)("shows where tasks wait", async () => {
    const { profile } = await record("sleep 100", { event: "off-cpu", period: 50e6 });
    const all = chains(profile, "sleep");
    expect(all.length).toBeGreaterThan(10);
    expect(share(all, /^__schedule@\[kernel.kallsyms\] schedule@.*nanosleep.*entry_SYSCALL_64_after_hwframe/)).toBe(1);
  });
});
