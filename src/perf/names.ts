/**
 * What the frames of a profile are called, in reports and in files for other tools. Names are the guests' own claims and are given as
 * they are: whoever shows them escapes them.
 */
import { formatGva } from "../guest/memory.ts";
import { moduleName } from "./plain-names.ts";
import type { Mode, Profile, ProfileDso } from "./profile.ts";

/** What perf calls a file or function it does not know. */
export const UNKNOWN = "[unknown]";
/** In place of a frame, for a sample that has none. */
export const NO_STACK = "[no stack]";
/** What perf calls the host's kernel. */
const HOST_KERNEL = "[kernel.kallsyms]";

/** What is added to a function's name where code of several modes stands in one list: as Brendan Gregg's tools do for the kernel. */
export const MODE_SUFFIX: Readonly<Record<Mode, string>> = {
  "guest.kernel": "_[k]",
  "guest.user": "",
  host: "_[h]",
  idle: "",
};

/** An address with the digits it needs. */
export const hexadecimal = (address: number): string => `0x${formatGva(address).replace(/^0+(?=.)/, "")}`;

/** The last part of a path. */
export const baseName = (path: string): string => path.slice(path.lastIndexOf("/") + 1) || path;

/** Names that make perf look into files of the machine it runs on, for guests' memory (map.c): `/tmp/perf-PID.map` and the like. */
const TRAPS = /^(\/\/anon|\/dev\/zero|\/anon_hugepage|\[stack|\[heap|\/SYSV|\/data\/app-lib\/|\/system\/lib\/)/;

/** What a DSO is called, with its folders where it is a file: as perf is told. Memory without a file is `[anon]`, `[heap]`, …. */
export function dsoLongName({ kind, name }: ProfileDso): string {
  switch (kind) {
    case "module":
      return `[${moduleName(name.replace(/^\[(.*)\]$/, "$1"))}]`;
    case "unknown":
      return UNKNOWN;
    case "host":
    case "label":
      return name;
    default:
      if (TRAPS.test(name)) return `[${baseName(name).replace(/[[\]]/g, "")}]`;
      return name.startsWith("/tmp/perf-") ? `/${name}` : name;
  }
}

/** The name perf has for a DSO in its reports. */
export function dsoShortName(profile: Profile, index: number): string {
  const dso = profile.dsos[index];
  if (dso === undefined) return UNKNOWN;
  return dso.kind === "kernel" ? guestKernelName(profile, dso) : baseName(dsoLongName(dso)) || UNKNOWN;
}

/** A guest's kernel is told from another's by the process that runs it. */
function guestKernelName(profile: Profile, { guest }: ProfileDso): string {
  return guest < 0 ? HOST_KERNEL : `[guest.kernel.kallsyms.${machinePid(profile, guest)}]`;
}

/** Above the largest process id of Linux (PID_MAX_LIMIT), and few enough to stay one of perf's numbers. */
const PID_STEP = 2 ** 22;
const MAX_STEPS = 500;

/** What perf tells guests apart by: the process that runs it, and another number for each further guest in the same process. */
export function machinePid({ guests }: Profile, guest: number): number {
  const pid = guests[guest]?.hostPid ?? 0;
  let before = 0;
  for (let i = 0; i < guest; i++) if (guests[i]!.hostPid === pid) before++;
  return (pid % PID_STEP) + Math.min(pid === 0 ? before + 1 : before, MAX_STEPS) * PID_STEP;
}

/** The function's name; of a frame without code what it stands for; undefined where nothing is known but an address. */
export function frameName(profile: Profile, frame: number): string | undefined {
  const symbol = profile.symbols[profile.frames.symbol[frame] ?? -1];
  if (symbol !== undefined) return symbol.name;
  const dso = profile.dsos[profile.frames.dso[frame] ?? -1];
  return dso?.kind === "label" || dso?.kind === "host" ? dso.name : undefined;
}

/** What a frame is shown as: its name, or that it has none and where it lies. */
export function frameLabel(profile: Profile, frame: number): string {
  return frameName(profile, frame) ?? `${UNKNOWN} ${hexadecimal(profile.frames.address[frame] ?? 0)}`;
}
