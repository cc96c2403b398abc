/**
 * The Firefox Profiler's processed format, version 60 exactly (docs-developer/CHANGELOG-formats.md and src/types/profile.ts of
 * github.com/firefox-devtools/profiler); newer ones of https://profiler.firefox.com raise it by themselves. A guest is a process, its threads or its
 * vCPUs are threads; categories are modes.
 */
import { dsoLongName, dsoShortName, frameLabel, machinePid, NO_STACK } from "../names.ts";
import { MODES, type Mode, type Profile, type ProfileDso } from "../profile.ts";
import { type GroupBy, type SampleGroup, sampleGroups } from "./groups.ts";
import { type Json, JsonList, jsonParts } from "./json.ts";

const VERSION = 60;
const NS_PER_MS = 1e6;
const NS_PER_US = 1e3;
/** Shown at first; the rest can be chosen. */
const VISIBLE_THREADS = 10;
/** ResourceType.Library. */
const LIBRARY = 1;

/** The first is the one for all else, and has to be grey. */
const CATEGORIES: readonly { readonly mode?: Mode; readonly name: string; readonly color: string }[] = [
  { name: "Other", color: "grey" },
  { mode: "guest.kernel", name: "Guest kernel", color: "orange" },
  { mode: "guest.user", name: "Guest user", color: "yellow" },
  { mode: "host", name: "Host", color: "blue" },
  { mode: "idle", name: "Asleep", color: "transparent" },
];
const categoryOf = MODES.map((mode) => CATEGORIES.findIndex((category) => category.mode === mode));

export interface FirefoxOptions {
  /** What a thread is. */
  readonly by?: GroupBy;
}

export function firefox(profile: Profile, { by = "task" }: FirefoxOptions = {}): Iterable<Uint8Array> {
  const { info, dsos } = profile;
  const strings = new Strings();
  const shared = sharedTables(profile, strings);
  const groups = sampleGroups(profile, by);
  const threads = groups.map((group) => thread(profile, group, by));
  const heaviest = groups
    .map(({ weight }, i) => ({ weight, i }))
    .sort((a, b) => b.weight - a.weight)
    .slice(0, VISIBLE_THREADS);
  return jsonParts({
    meta: {
      interval: info.unit === "ns" ? info.period / NS_PER_MS : 1,
      startTime: info.startedAt,
      profilingStartTime: 0,
      profilingEndTime: info.duration / NS_PER_MS,
      processType: 0,
      product: `Vivarium: ${info.event}`,
      stackwalk: 1,
      debug: false,
      // Of Gecko's own format: not looked at.
      version: 24,
      preprocessedProfileVersion: VERSION,
      symbolicated: true,
      oscpu: info.hostKernel,
      CPUName: info.cpu,
      logicalCPUs: info.cpus,
      arguments: info.command.join(" "),
      importedFrom: `viv perf ${info.version}`,
      categories: CATEGORIES.map(({ name, color }) => ({ name, color, subcategories: ["Other"] })),
      markerSchema: [],
      sampleUnits: { time: "ms", eventDelay: "ms", threadCPUDelta: "µs" },
      extensions: { length: 0, baseURL: [], id: [], name: [] },
      usesOnlyOneStackType: true,
      sourceCodeIsNotOnSearchfox: true,
      keepProfileThreadOrder: true,
      initialVisibleThreads: heaviest.map(({ i }) => i).sort((a, b) => a - b),
      initialSelectedThreads: heaviest.slice(0, 1).map(({ i }) => i),
    },
    libs: dsos.map((dso, i) => lib(dso, dsoShortName(profile, i))),
    pages: [],
    shared: { ...shared, stringArray: strings.all, sources: { length: 0, uuid: [], filename: [] } },
    threads,
  });
}

class Strings {
  readonly all: string[] = [];
  readonly #index = new Map<string, number>();

  of(text: string): number {
    let index = this.#index.get(text);
    if (index === undefined) {
      index = this.all.push(text) - 1;
      this.#index.set(text, index);
    }
    return index;
  }
}

function lib(dso: ProfileDso, name: string): Json {
  const path = dsoLongName(dso);
  const ids = { breakpadId: breakpadId(dso.buildId ?? ""), codeId: dso.buildId ?? null };
  return { arch: "x86_64", name, path, debugName: name, debugPath: path, ...ids };
}

/** A build-id as Breakpad writes it: the first 16 bytes as a GUID, whose first three numbers are little-endian, and an age of 0. */
function breakpadId(buildId: string): string {
  const bytes = buildId.padEnd(32, "0").slice(0, 32).match(/../g)!;
  const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
  return `${order.map((i) => bytes[i]!).join("")}0`.toUpperCase();
}

/** Frames and stacks are the profile's, one for one, and behind them those of samples that have none: one for each mode. */
function sharedTables(profile: Profile, strings: Strings): { [table: string]: Json } {
  const { frames, stacks, dsos, kernelMaps } = profile;
  const bases = new Map(kernelMaps.map(({ dso, start }) => [dso, start]));
  const funcs = { name: [] as number[], resource: [] as number[] };
  const funcOf = new Map<string, number>();
  const func = (name: string, resource: number): number => {
    const key = `${resource} ${name}`;
    let index = funcOf.get(key);
    if (index === undefined) {
      funcOf.set(key, (index = funcs.name.push(strings.of(name)) - 1));
      funcs.resource.push(resource);
    }
    return index;
  };
  const count = frames.dso.length;
  const all = count + MODES.length;
  const frameFunc = new Int32Array(all);
  const address = new Float64Array(all).fill(-1);
  const category = new Int32Array(all);
  for (let frame = 0; frame < count; frame++) {
    const dso = frames.dso[frame]!;
    frameFunc[frame] = func(frameLabel(profile, frame), dso);
    category[frame] = categoryOf[frames.mode[frame]!]!;
    // In its library; what has no such place is -1.
    const offset = frames.offset[frame]! - (bases.get(dso) ?? 0);
    if (dso >= 0 && offset >= 0) address[frame] = offset;
  }
  MODES.forEach((_, mode) => {
    frameFunc[count + mode] = func(NO_STACK, -1);
    category[count + mode] = categoryOf[mode]!;
  });
  const nothing = (length: number): JsonList => new JsonList(repeated(null, length));
  const zeros = (length: number): Int32Array => new Int32Array(length);
  const stackFrame = new Int32Array(stacks.frame.length + MODES.length);
  stackFrame.set(stacks.frame);
  stackFrame.set(
    MODES.map((_, mode) => count + mode),
    stacks.frame.length,
  );
  const functions = funcs.name.length;
  return {
    stackTable: { frame: stackFrame, prefix: new JsonList(prefixes(stacks.caller)), length: stackFrame.length },
    frameTable: {
      address,
      inlineDepth: zeros(all),
      category,
      subcategory: zeros(all),
      func: frameFunc,
      nativeSymbol: nothing(all),
      innerWindowID: nothing(all),
      line: nothing(all),
      column: nothing(all),
      length: all,
    },
    funcTable: {
      name: funcs.name,
      isJS: new JsonList(repeated(false, functions)),
      relevantForJS: new JsonList(repeated(false, functions)),
      resource: funcs.resource,
      source: nothing(functions),
      lineNumber: nothing(functions),
      columnNumber: nothing(functions),
      length: functions,
    },
    // A resource for each library.
    resourceTable: {
      type: dsos.map(() => LIBRARY),
      lib: dsos.map((_, dso) => dso),
      name: dsos.map((_, dso) => strings.of(dsoShortName(profile, dso))),
      host: nothing(dsos.length),
      length: dsos.length,
    },
    nativeSymbols: { libIndex: [], address: [], name: [], functionSize: [], length: 0 },
  };
}

function* repeated<Value>(value: Value, length: number): Generator<Value> {
  for (let i = 0; i < length; i++) yield value;
}

function* prefixes(caller: Int32Array): Generator<number | null> {
  for (const stack of caller) yield stack < 0 ? null : stack;
  yield* repeated(null, MODES.length);
}

function thread(profile: Profile, group: SampleGroup, by: GroupBy): Json {
  const { samples, stacks, guests, tasks, info } = profile;
  const { guest, vcpu, task, samples: order } = group;
  const { comm, pid, tid } = tasks[task]!;
  const timed = info.unit === "ns";
  const thread = by === "vcpu" ? { name: `vCPU ${vcpu}`, tid: vcpu } : { name: `${comm} (${pid}/${tid})`, tid };
  return {
    ...thread,
    processType: "default",
    processStartupTime: 0,
    processShutdownTime: null,
    registerTime: 0,
    unregisterTime: null,
    pausedRanges: [],
    isMainThread: false,
    processName: guests[guest]!.name,
    pid: String(machinePid(profile, guest)),
    showMarkersInTimeline: false,
    samples: {
      stack: Int32Array.from(order, (i) =>
        samples.stack[i]! < 0 ? stacks.frame.length + samples.mode[i]! : samples.stack[i]!,
      ),
      time: Float64Array.from(order, (i) => samples.time[i]! / NS_PER_MS),
      weight: Float64Array.from(order, (i) => samples.weight[i]! / (timed ? NS_PER_MS : 1)),
      weightType: timed ? "tracing-ms" : "samples",
      // Of the time since the sample before, as much as the thread ran.
      ...(info.event === "cpu-clock"
        ? { threadCPUDelta: Float64Array.from(order, (i) => samples.weight[i]! / NS_PER_US) }
        : {}),
      length: order.length,
    },
    markers: { data: [], name: [], startTime: [], endTime: [], phase: [], category: [], length: 0 },
  };
}
