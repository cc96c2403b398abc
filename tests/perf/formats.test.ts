/** Formats of other tools, read by those tools, or by their rules where the tool is a web site of its own. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findChromium, launchChromium } from "../../bench/browser-chromium.ts";
import { collapsed } from "../../src/perf/formats/collapsed.ts";
import { firefox } from "../../src/perf/formats/firefox.ts";
import { pprof } from "../../src/perf/formats/pprof.ts";
import { speedscope } from "../../src/perf/formats/speedscope.ts";
import { dsoLongName, frameLabel, frameName, NO_STACK } from "../../src/perf/names.ts";
import { MODES, type Profile } from "../../src/perf/profile.ts";
import { gzip } from "../../src/sys/node/gzip.ts";
import { saveRecording } from "./save-recording.ts";
import { INFO, type TwoGuests, twoGuests } from "./two-guests.ts";

const without = (...tools: readonly string[]): boolean => {
  const missing = tools.filter((tool) => spawnSync(tool, ["--help"]).error !== undefined);
  if (missing.length > 0) console.warn(`formats: skipped, for want of ${missing.join(", ")}`);
  return missing.length > 0;
};
const noCompiler = without("gcc", "nm", "readelf");
const chromium = findChromium();

const scratch = mkdtempSync(join(tmpdir(), "viv-formats-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const textOf = (parts: Iterable<Uint8Array>): string => Buffer.concat([...parts]).toString();

/** A sample's frames, innermost first. */
function framesOf({ samples, stacks }: Profile, i: number): number[] {
  const frames: number[] = [];
  for (let stack = samples.stack[i]!; stack >= 0; stack = stacks.caller[stack]!) frames.push(stacks.frame[stack]!);
  return frames;
}

/** What is the same, added up. */
function sums(rows: Iterable<readonly [string, number]>): Record<string, number> {
  const all: Record<string, number> = {};
  for (const [key, value] of rows) all[key] = (all[key] ?? 0) + value;
  return all;
}

/** Each sample as text, and its weight. */
function stacksOf(
  profile: Profile,
  root: (i: number) => string,
  name: (frame: number) => string,
): Record<string, number> {
  return sums(
    Array.from(profile.samples.weight, (weight, i) => {
      const names = framesOf(profile, i).map(name);
      return [[...(names.length > 0 ? names : [NO_STACK]), root(i)].reverse().join(";"), weight] as const;
    }),
  );
}

describe.skipIf(noCompiler)("formats of other tools", () => {
  let two: TwoGuests;
  let profile: Profile;
  beforeAll(() => {
    two = twoGuests();
    profile = two.profile;
  });
  const guestOf = (i: number): string => profile.guests[profile.tasks[profile.samples.task[i]!]!.guest]!.name;
  const commOf = (i: number): string => profile.tasks[profile.samples.task[i]!]!.comm;

  it.skipIf(without("perf"))("collapsed: what folding perf's own script gives", async () => {
    const directory = join(scratch, "folded");
    await saveRecording(directory, profile, two.attachments);
    const fields = "comm,tid,time,period,event,ip,sym,dso,machine_pid,vcpu";
    const script = spawnSync("perf", ["--buildid-dir", directory, "script", "-i", directory, "-F", fields], {
      encoding: "utf8",
      maxBuffer: 1 << 28,
    }).stdout;
    const folded = script
      .trim()
      .split(/\n\s*\n/)
      .map((sample): readonly [string, number] => {
        const [heading, ...rest] = sample.split("\n");
        const [, pid, comm, period] = /VM: +(\d+) VCPU:\d+ (.+?) +\d+ +[\d.]+: +(\d+) /.exec(heading!)!;
        const names = rest.map((line) => {
          const [, name, dso] = /^\s*[0-9a-f]+ (.+) \((.+)\)$/.exec(line)!;
          const kernel = /^\[(guest\.kernel|mod_)/.test(dso!);
          return `${name}${kernel ? "_[k]" : dso === "virtio-blk" || dso === "viv" ? "_[h]" : ""}`;
        });
        const guest = pid === "7777" ? "guest-a" : "guest-b";
        const stack = names.length > 0 ? names.reverse() : [NO_STACK];
        return [[guest, comm!, ...stack].join(";"), Number(period)];
      });
    const lines = textOf(collapsed(profile)).trim().split("\n");
    const ours = lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.split(" ").at(-1))] as const);
    expect(Object.fromEntries(ours)).toEqual(sums(folded));
    expect(new Set(lines).size).toBe(lines.length);
  });

  it("collapsed: no name ends a frame or a line", () => {
    const names = profile.symbols.map((symbol, i) => ({ ...symbol, name: `a;b\nc\u2028d ${i}` }));
    const lines = textOf(collapsed({ ...profile, symbols: names }, { comms: false, guests: false }))
      .trim()
      .split("\n");
    for (const line of lines)
      expect(line).toMatch(/^(\[no stack\]|a:b\?c\?d \d+(_\[[kh]\])?(;a:b\?c\?d \d+(_\[[kh]\])?)*) \d+$/);
  });

  describe.skipIf(without("go"))("pprof, by go tool pprof", () => {
    let file: string;
    beforeAll(async () => {
      file = join(scratch, "profile.pb.gz");
      const parts: Uint8Array[] = [];
      for await (const part of gzip(pprof(profile))) parts.push(part);
      writeFileSync(file, Buffer.concat(parts));
    });
    const tool = (...args: readonly string[]): string => {
      const { stdout, stderr, status } = spawnSync("go", ["tool", "pprof", "-symbolize=none", ...args, file], {
        encoding: "utf8",
        env: { ...process.env, PPROF_TMPDIR: scratch, GOFLAGS: "-mod=mod" },
      });
      expect({ status, stderr }).toMatchObject({ status: 0 });
      return stdout;
    };

    it("has every stack, with its count and weight", () => {
      const raw = tool("-raw");
      const places = new Map(
        [...raw.matchAll(/^ +(\d+): 0x[0-9a-f]+ (?:M=\d+ )?(.+?) (\S*):0(?::0)? s=0/gm)].map(([, id, name]) => [
          id!,
          name!,
        ]),
      );
      const body = raw.slice(raw.indexOf("Samples:"), raw.indexOf("Locations"));
      const samples = [...body.matchAll(/^ +(\d+) +(\d+): ([\d ]+?) *\n +(.+)\n +(.+)$/gm)];
      const read = samples.map(([, count, weight, ids, ...labels]) => {
        const names = ids!.split(" ").map((id) => places.get(id));
        const said = labels.join(" ");
        const label = (key: string): string => new RegExp(`${key}:\\[([^\\]]*)\\]`).exec(said)?.[1] ?? "";
        const key = [...names, ...["vm", "comm", "mode", "vcpu", "pid", "tid"].map(label)].join(";");
        return { key, count: Number(count), weight: Number(weight) };
      });
      const expected = Array.from(profile.samples.weight, (weight, i) => {
        const { pid, tid, comm } = profile.tasks[profile.samples.task[i]!]!;
        const names = framesOf(profile, i).map((frame) => frameName(profile, frame));
        const labels = [guestOf(i), comm, MODES[profile.samples.mode[i]!], profile.samples.vcpu[i] || "", pid, tid];
        const stack = names.length > 0 ? names : [NO_STACK];
        return { key: [...stack, guestOf(i), ...labels].join(";"), weight };
      });
      expect(sums(read.map(({ key, weight }) => [key, weight]))).toEqual(
        sums(expected.map(({ key, weight }) => [key, weight])),
      );
      expect(sums(read.map(({ key, count }) => [key, count]))).toEqual(sums(expected.map(({ key }) => [key, 1])));
    });

    it("knows unit, time, and where code came from", () => {
      const raw = tool("-raw");
      expect(raw).toMatch(/PeriodType: cpu nanoseconds/);
      expect(raw).toMatch(/Period: 1000000/);
      expect(raw).toMatch(/Time: 2025-06-15/);
      expect(raw).toMatch(/Samples:\nsamples\/count cpu\/nanoseconds/);
      const [program] = two.programs;
      expect(raw).toMatch(
        new RegExp(`^\\d+: 0x[0-9a-f]+/0x[0-9a-f]+/0x0 ${program!.path} ${program!.buildId} \\[FN\\]`, "m"),
      );
    });

    it("reports the heaviest functions", () => {
      const top = tool("-top", "-unit=ms");
      const [, flat, share] = /^ +([\d.]+)ms +([\d.]+)% .* leaf_work$/m.exec(top)!;
      const leaf = Array.from(profile.samples.weight, (weight, i) =>
        frameName(profile, framesOf(profile, i)[0] ?? -1) === "leaf_work" ? weight : 0,
      ).reduce((sum, weight) => sum + weight, 0);
      const all = profile.samples.weight.reduce((sum, weight) => sum + weight, 0);
      expect(Number(flat)).toBeCloseTo(leaf / 1e6, 2);
      expect(Number(share)).toBeCloseTo((100 * leaf) / all, 1);
    });
  });

  it("Firefox: tables hold together, and give the profile's stacks back", () => {
    const read = JSON.parse(textOf(firefox(profile))) as FirefoxProfile;
    const { shared, threads, libs, meta } = read;
    expect(meta.preprocessedProfileVersion).toBe(60);
    const { stackTable, frameTable, funcTable, resourceTable, stringArray } = shared;
    for (const table of [stackTable, frameTable, funcTable, resourceTable, ...threads.map(({ samples }) => samples)]) {
      for (const column of Object.values(table)) if (Array.isArray(column)) expect(column).toHaveLength(table.length);
    }
    const within = (values: readonly (number | null)[], length: number, least = 0): void => {
      for (const value of values) {
        if (value !== null) expect(Number.isInteger(value) && value >= least && value < length).toBe(true);
      }
    };
    within(stackTable.frame, frameTable.length);
    for (const [i, prefix] of stackTable.prefix.entries()) within([prefix], i);
    within(frameTable.func, funcTable.length);
    within(frameTable.category, meta.categories.length);
    within(funcTable.name, stringArray.length);
    within(funcTable.resource, resourceTable.length, -1);
    within(resourceTable.name, stringArray.length);
    within(resourceTable.lib, libs.length);
    within(meta.initialVisibleThreads, threads.length);
    expect(meta.categories.some(({ color }) => color === "grey")).toBe(true);
    expect(frameTable.address.every((address) => address >= -1)).toBe(true);
    expect(libs.find(({ path }) => path === two.programs[0]!.path)).toMatchObject({
      codeId: two.programs[0]!.buildId,
      breakpadId: expect.stringMatching(/^[0-9A-F]{32}0$/),
    });

    const nameAt = (stack: number): string => stringArray[funcTable.name[frameTable.func[stackTable.frame[stack]!]!]!]!;
    const readStacks = threads.flatMap(({ name, processName, samples }) => {
      within(samples.stack, stackTable.length);
      expect(samples.weightType).toBe("tracing-ms");
      expect([...samples.time].sort((a, b) => a - b)).toEqual(samples.time);
      return samples.stack.map((leaf, i): readonly [string, number] => {
        const names: string[] = [];
        for (let stack: number | null = leaf; stack !== null; stack = stackTable.prefix[stack]!)
          names.push(nameAt(stack));
        return [[processName, name, ...names.reverse()].join(";"), Math.round(samples.weight[i]! * 1e6)];
      });
    });
    const last = new Map(profile.tasks.map(({ guest, pid, tid, comm }) => [`${guest} ${pid} ${tid}`, comm]));
    const threadOf = (i: number): string => {
      const { guest, pid, tid } = profile.tasks[profile.samples.task[i]!]!;
      return `${last.get(`${guest} ${pid} ${tid}`)} (${pid}/${tid})`;
    };
    expect(sums(readStacks)).toEqual(
      stacksOf(
        profile,
        (i) => `${guestOf(i)};${threadOf(i)}`,
        (frame) => frameLabel(profile, frame),
      ),
    );
    expect(threads.map(({ pid }) => pid)).toEqual(expect.arrayContaining(["7777", "8888"]));
  });

  it("speedscope: stacks and weights, by its schema's words", () => {
    const read = JSON.parse(textOf(speedscope(profile))) as SpeedscopeFile;
    const schema = JSON.parse(readFileSync(speedscopeFile("file-format-schema.json"), "utf8")) as SpeedscopeSchema;
    const { definitions } = schema;
    expect(Object.keys(read).every((key) => key in definitions["FileFormat.File"]!.properties)).toBe(true);
    for (const part of read.profiles) {
      const { properties, required } = definitions["FileFormat.SampledProfile"]!;
      expect(Object.keys(part).sort()).toEqual(Object.keys(properties).sort());
      expect(required!.every((key) => key in part)).toBe(true);
      expect(definitions["FileFormat.ValueUnit"]!.enum).toContain(part.unit);
      expect(part.samples).toHaveLength(part.weights.length);
      expect(part.endValue).toBe(part.weights.reduce((sum, weight) => sum + weight, 0));
    }
    const stacks = read.profiles.flatMap(({ name, samples, weights }) =>
      samples.map((stack, i): readonly [string, number] => [
        [
          name,
          ...stack
            .map((frame) => read.shared.frames[frame]!)
            .map(({ name: function_, file }) => `${function_}@${file}`),
        ].join(";"),
        weights[i]!,
      ]),
    );
    const expected = stacksOf(
      profile,
      (i) => `${guestOf(i)} vCPU ${profile.samples.vcpu[i]}`,
      (frame) => `${frameLabel(profile, frame)}@${dsoLongName(profile.dsos[profile.frames.dso[frame]!]!)}`,
    );
    expect(sums(stacks)).toEqual(
      Object.fromEntries(
        Object.entries(expected).map(([key, weight]) => [key.replace(NO_STACK, `${NO_STACK}@undefined`), weight]),
      ),
    );
  });

  it.skipIf(chromium === undefined)("speedscope shows them (needs chromium)", async () => {
    const file = join(scratch, "two.speedscope.json");
    writeFileSync(file, textOf(speedscope(profile)));
    const browser = await launchChromium(chromium!);
    try {
      const page = await browser.newPage();
      const errors: string[] = [];
      page.on("pageerror", (error) => errors.push(error.message));
      await page.goto(pathToFileURL(speedscopeFile("index.html")).href);
      await page.setInputFiles("#file", file);
      await page.getByText("Sandwich").click();
      const rows = page.locator("tr", { hasText: "leaf_work" });
      await rows.first().waitFor({ timeout: 20_000 });
      // The heaviest of the profiles is what it begins with: that vCPU's shares.
      const read = JSON.parse(textOf(speedscope(profile))) as SpeedscopeFile;
      const { samples, weights, endValue } = read.profiles[read.activeProfileIndex]!;
      const leaf = samples.reduce(
        (sum, stack, i) => sum + (read.shared.frames[stack.at(-1)!]!.name === "leaf_work" ? weights[i]! : 0),
        0,
      );
      // Each row: total, self, name.
      const listed = await page.locator("tr").allTextContents();
      const share = `(${((100 * leaf) / endValue).toFixed(0)}%)`;
      expect(listed.find((row) => row.endsWith("leaf_work"))?.split(share)).toHaveLength(3);
      for (const name of ["virtio-blk", "__vdso_gettimeofday", "Interpreter:hot", NO_STACK]) {
        expect(listed.some((row) => row.endsWith(name))).toBe(true);
      }
      expect(errors).toEqual([]);
    } finally {
      await browser.close();
    }
  });

  it("instructions are counted, not timed", () => {
    const counted = { ...profile, info: { ...INFO, event: "instructions", unit: "instructions" } } as const;
    const scope = JSON.parse(textOf(speedscope(counted, { by: "task" }))) as SpeedscopeFile;
    expect(new Set(scope.profiles.map(({ unit }) => unit))).toEqual(new Set(["none"]));
    const fox = JSON.parse(textOf(firefox(counted, { by: "vcpu" }))) as FirefoxProfile;
    expect(fox.threads.map(({ name, samples }) => [name, samples.weightType])).toEqual([
      ["vCPU 0", "samples"],
      ["vCPU 1", "samples"],
      ["vCPU 0", "samples"],
      ["vCPU 1", "samples"],
    ]);
    expect(
      sums(fox.threads.flatMap(({ samples }) => samples.weight.map((weight) => ["all", weight] as const))),
    ).toEqual({
      all: profile.samples.weight.reduce((sum, weight) => sum + weight, 0),
    });
    expect(Buffer.concat([...pprof(counted)]).toString("latin1")).toContain("instructions");
    expect(commOf(0)).toBe("sh");
  });
});

const speedscopeFile = (name: string): string =>
  fileURLToPath(new URL(`../../node_modules/speedscope/dist/release/${name}`, import.meta.url));

interface SpeedscopeFile {
  readonly activeProfileIndex: number;
  readonly shared: { readonly frames: readonly { readonly name: string; readonly file?: string }[] };
  readonly profiles: readonly {
    readonly name: string;
    readonly unit: string;
    readonly endValue: number;
    readonly samples: readonly (readonly number[])[];
    readonly weights: readonly number[];
  }[];
}
interface SpeedscopeSchema {
  readonly definitions: Readonly<
    Record<string, { properties: Record<string, unknown>; required?: readonly string[]; enum?: readonly string[] }>
  >;
}
interface FirefoxProfile {
  readonly meta: {
    readonly preprocessedProfileVersion: number;
    readonly categories: readonly { readonly color: string }[];
    readonly initialVisibleThreads: readonly number[];
  };
  readonly libs: readonly { readonly path: string; readonly codeId: string | null; readonly breakpadId: string }[];
  readonly shared: {
    readonly stackTable: { frame: number[]; prefix: (number | null)[]; length: number };
    readonly frameTable: { func: number[]; category: number[]; address: number[]; length: number };
    readonly funcTable: { name: number[]; resource: number[]; length: number };
    readonly resourceTable: { name: number[]; lib: number[]; length: number };
    readonly stringArray: readonly string[];
  };
  readonly threads: readonly {
    readonly name: string;
    readonly pid: string;
    readonly processName: string;
    readonly samples: { stack: number[]; time: number[]; weight: number[]; weightType: string; length: number };
  }[];
}
