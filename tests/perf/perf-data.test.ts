/** Recordings, read by Debian's own perf: what it prints is what the profile says. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { VivError } from "../../src/base/index.ts";
import { dsoLongName, dsoShortName, frameName, UNKNOWN } from "../../src/perf/names.ts";
import type { Profile } from "../../src/perf/profile.ts";
import { openRecording, readRecording } from "../../src/perf/recording.ts";
import { NodeRecordingFiles } from "../../src/sys/node/recording-files.ts";
import { NodeRecordingSource } from "../../src/sys/node/recording-source.ts";
import { saveRecording } from "./save-recording.ts";
import { hostPids, INFO, type TwoGuests, twoGuests } from "./two-guests.ts";

const missing = ["perf", "gcc", "objdump"].filter((tool) => spawnSync(tool, ["--version"]).error !== undefined);
if (missing.length > 0) console.warn(`perf-data: skipped, for want of ${missing.join(", ")}`);

const scratch = mkdtempSync(join(tmpdir(), "viv-perf-data-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function perf(...args: readonly string[]): string {
  const { stdout, stderr, status } = spawnSync("perf", args, { encoding: "utf8", maxBuffer: 1 << 28 });
  expect({ status, stderr }).toMatchObject({ status: 0 });
  return stdout;
}

async function record(name: string, { profile, attachments }: TwoGuests): Promise<string> {
  const directory = join(scratch, name);
  await saveRecording(directory, profile, attachments);
  return directory;
}

/** Every sample as `perf script` should print it: a heading, then its frames. */
function expectedScript(profile: Profile): string[] {
  const { samples, tasks, stacks, frames, symbols } = profile;
  const order = Array.from(samples.time, (_, i) => i).sort((a, b) => samples.time[a]! - samples.time[b]! || a - b);
  return order.map((i) => {
    const task = tasks[samples.task[i]!]!;
    const vcpu = String(samples.vcpu[i]!).padStart(3, "0");
    const heading = `VM: ${hostPids[task.guest]} VCPU:${vcpu} ${task.comm} ${task.pid}/${task.tid} ${samples.weight[i]}`;
    const lines: string[] = [];
    for (let stack = samples.stack[i]!; stack >= 0; stack = stacks.caller[stack]!) {
      const frame = stacks.frame[stack]!;
      const dso = profile.dsos[frames.dso[frame]!]!;
      const symbol = symbols[frames.symbol[frame]!]!;
      // Behind a call that ends a function is still the function.
      const offset = dso.guest < 0 ? 0 : Math.min(frames.offset[frame]! - symbol.start, symbol.size - 1);
      const file = dso.kind === "kernel" ? dsoShortName(profile, frames.dso[frame]!) : dsoLongName(dso);
      lines.push(`${frameName(profile, frame)}+0x${offset.toString(16)} (${file})`);
    }
    return [heading, ...lines].join("\n");
  });
}

function printedScript(text: string): string[] {
  return text
    .trim()
    .split(/\n\s*\n/)
    .map((sample) => {
      const [first, ...rest] = sample.split("\n");
      const heading = /^\s*VM: +(\d+) VCPU:(\d+) (.+?) +(\d+\/\d+) +[\d.]+: +(\d+) /.exec(first!);
      const frames = rest.map((line) => line.trim().replace(/^[0-9a-f]+ /, ""));
      return [`VM: ${heading?.[1]} VCPU:${heading?.[2]} ${heading?.slice(3).join(" ")}`, ...frames].join("\n");
    });
}

/** Share of each command, DSO and function, in hundredths of a percent. */
function shares(profile: Profile): Map<string, number> {
  const { samples, tasks, stacks, frames } = profile;
  const sums = new Map<string, number>();
  const total = samples.weight.reduce((sum, weight) => sum + weight, 0);
  for (let i = 0; i < samples.weight.length; i++) {
    const frame = samples.stack[i]! < 0 ? -1 : stacks.frame[samples.stack[i]!]!;
    const dso = frame < 0 ? UNKNOWN : dsoShortName(profile, frames.dso[frame]!);
    const symbol = frame < 0 ? "0000000000000000" : frameName(profile, frame);
    const key = `${tasks[samples.task[i]!]!.comm}|${dso}|${symbol}`;
    sums.set(key, (sums.get(key) ?? 0) + samples.weight[i]!);
  }
  return new Map([...sums].map(([key, sum]) => [key, Math.round((sum / total) * 1e4)]));
}

function printedShares(report: string): Map<string, number> {
  const rows = report.split("\n").filter((line) => /^ *\d+\.\d\d%/.test(line));
  return new Map(
    rows.map((line) => {
      const [percent, comm, dso, symbol] = line.split("|").map((cell) => cell.trim());
      const key = `${comm}|${dso}|${symbol!.replace(/^\[.\] /, "")}`;
      return [key, Math.round(Number.parseFloat(percent!) * 100)];
    }),
  );
}

const SCRIPT_FIELDS = "comm,pid,tid,time,period,event,ip,sym,symoff,dso,machine_pid,vcpu";

describe.skipIf(missing.length > 0)("a recording of two guests, in Linux perf", () => {
  let two: TwoGuests;
  let directory: string;
  beforeAll(async () => {
    two = twoGuests();
    directory = await record("two", two);
  });
  const withFiles = (...args: readonly string[]): string =>
    perf("--buildid-dir", directory, args[0]!, "-i", directory, ...args.slice(1));

  it("has every sample with its guest, vCPU, task and callers", () => {
    const printed = printedScript(withFiles("script", "-F", SCRIPT_FIELDS));
    expect(printed).toEqual(expectedScript(two.profile));
  });

  it("reports the profile's own shares", () => {
    const report = withFiles("report", "--stdio", "--no-children", "-g", "none", "-t", "|");
    expect(printedShares(report)).toEqual(shares(two.profile));
  });

  it("names kernels and modules without being told of any files", () => {
    const report = perf("report", "-i", directory, "--stdio", "--no-children", "-g", "none", "-t", "|");
    const printed = printedShares(report);
    for (const letter of ["a", "b"]) {
      expect(
        printed.get(`main-${letter}|[guest.kernel.kallsyms.${hostPids[letter === "a" ? 0 : 1]}]|submit_${letter}`),
      ).toBeGreaterThan(0);
      expect(printed.get(`thread ${letter}|[mod_${letter}]|${letter}_init`)).toBeGreaterThan(0);
    }
    // Programs of guests are not looked for among the host's.
    expect([...printed.keys()].filter((key) => key.includes("|work|"))).toEqual([expect.stringMatching(/\|work\|0x/)]);
  });

  it("shows callers of what the host did for a guest", () => {
    const graph = withFiles(
      "report",
      "--stdio",
      "--no-children",
      "-g",
      "callee",
      "-S",
      "virtio-blk",
      "--comm",
      "main-a",
    );
    expect(
      graph
        .match(/---(\S+)\n((?: +\S+\n)+)/)?.[2]
        ?.trim()
        .split(/\s+/),
    ).toEqual(
      "submit_a vfs_a sys_a do_syscall_64 entry_SYSCALL_64_after_hwframe middle_work outer_work main".split(" "),
    );
  });

  it.each([
    ["submit_a", "ffffffff81001104"],
    ["submit_b", "ffffffff81001004"],
    ["a_round", "86"],
    ["leaf_work", undefined],
  ])("annotates %s with the guest's code", (symbol, address) => {
    const text = withFiles("annotate", "--stdio", "-s", symbol);
    const weights = [...text.matchAll(/^ *(\d+\.\d\d) : +([0-9a-f]+):\s+(.+)$/gm)];
    const hot = weights.filter(([, percent]) => percent === "100.00");
    expect(hot.length).toBeGreaterThan(0);
    if (address === undefined) return;
    expect(hot.map(([, , at, instruction]) => [at, instruction!.replace(/\s+/g, " ")])).toEqual([
      [address, expect.stringMatching(/^(xor %eax,%eax|pop %rbp)$/)],
    ]);
  });

  it("says who recorded what", () => {
    const header = perf("report", "--header-only", "-i", directory);
    expect(header).toMatch(/hostname : host-of-guests/);
    expect(header).toMatch(/cmdline : viv perf record -g/);
    expect(header).toMatch(/directory data version : 0/);
  });

  it("is of another event where another was sampled by", async () => {
    for (const event of ["instructions", "off-cpu"] as const) {
      const other = await record(event, twoGuests({ ...INFO, event, unit: event === "off-cpu" ? "ns" : event }));
      expect(perf("evlist", "-i", other).trim()).toBe(event);
      const report = perf(
        "--buildid-dir",
        other,
        "report",
        "-i",
        other,
        "--stdio",
        "--no-children",
        "-g",
        "none",
        "-t",
        "|",
      );
      expect(report).toContain(`of event '${event}'`);
      expect(printedShares(report)).toEqual(shares(two.profile));
    }
  });

  it("is ours as well", () => {
    const { profile, codeOf } = openRecording(new NodeRecordingSource(directory));
    expect(profile).toEqual(two.profile);
    for (const { name, dso, start, size } of profile.symbols) {
      const { kind, guest } = profile.dsos[dso]!;
      const code = codeOf(dso, start, 8);
      if (kind === "kernel" || kind === "module")
        expect([name, Buffer.from(code!).toString("hex")]).toEqual([name, "554889e531c05dc3"]);
      else if (kind === "user") {
        const { bytes, text } = two.programs[guest]!;
        const at = start - text.address + text.offset;
        expect(codeOf(dso, start, size)).toEqual(bytes.slice(at, at + size));
      } else expect(code).toBeUndefined();
    }
  });

  it("is its owner's alone, and its paths are numbers", () => {
    const walk = (folder: string): string[] =>
      readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
        const path = join(folder, entry.name);
        if (!entry.isSymbolicLink()) expect(statSync(path).mode & 0o077).toBe(0);
        return entry.isDirectory() ? walk(path) : [path.slice(directory.length + 1)];
      });
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    for (const path of walk(directory)) {
      expect(path).toMatch(
        /^(profile|data|kcore_dir__\d+\/(kallsyms|modules)|code\/[0-9a-f]{40}\/(elf|vdso|kallsyms)|\.build-id\/[0-9a-f]{2}\/[0-9a-f]{38})$/,
      );
    }
  });
});

describe("a recording's directory", () => {
  const profile = (): TwoGuests => ({
    profile: {
      info: INFO,
      guests: [],
      dsos: [],
      symbols: [],
      tasks: [],
      mappings: [],
      kernelMaps: [],
      frames: {
        address: new Float64Array(),
        offset: new Float64Array(),
        dso: new Int32Array(),
        symbol: new Int32Array(),
        mode: new Int32Array(),
      },
      stacks: { caller: new Int32Array(), frame: new Int32Array() },
      samples: {
        time: new Float64Array(),
        stack: new Int32Array(),
        task: new Int32Array(),
        vcpu: new Int32Array(),
        mode: new Int32Array(),
        weight: new Float64Array(),
      },
    },
    attachments: [],
    programs: [],
  });

  it("becomes DIR.old when another takes its place", async () => {
    const first = await record("again", profile());
    const second = profile();
    await record("again", { ...second, profile: { ...second.profile, info: { ...INFO, lost: 5 } } });
    await record("again", { ...second, profile: { ...second.profile, info: { ...INFO, lost: 6 } } });
    expect(readRecording(new NodeRecordingSource(first)).info.lost).toBe(6);
    expect(readRecording(new NodeRecordingSource(`${first}.old`)).info.lost).toBe(5);
  });

  it("never takes the place of anything else", () => {
    expect(() => new NodeRecordingFiles(scratch)).toThrow(VivError);
    expect(() => new NodeRecordingFiles(scratch)).toThrow(/is no recording of viv perf: give another directory/);
    expect(() => new NodeRecordingFiles("/proc/none")).toThrow(VivError);
  });

  it("is not there before it is whole", async () => {
    const directory = join(scratch, "half");
    const files = new NodeRecordingFiles(directory);
    await files.write("profile", ["x"]);
    expect(existsSync(directory)).toBe(false);
    await expect(files.write("../escape", [])).rejects.toThrow(RangeError);
    files.discard();
    expect(readdirSync(scratch).filter((name) => name.startsWith("half"))).toEqual([]);
  });

  it("says in one line that it is none", () => {
    const source = new NodeRecordingSource(join(scratch, "nowhere"));
    expect(() => readRecording(source)).toThrow(/nowhere is no recording of viv perf record/);
  });
});
