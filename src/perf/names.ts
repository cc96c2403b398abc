/**
 * What the frames of a profile are called, in reports and in files for other tools. Names are the guests' own claims and are given as
 * they are: whoever shows them escapes them.
 */
import { formatGva } from "../guest/memory.ts";
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

/** The name perf has for a DSO in its reports. */
export function dsoShortName(profile: Profile, index: number): string {
  const dso = profile.dsos[index];
  if (dso === undefined || dso.kind === "unknown") return UNKNOWN;
  switch (dso.kind) {
    case "kernel":
      return guestKernelName(profile, dso);
    case "module":
      return dso.name.startsWith("[") ? dso.name : `[${dso.name}]`;
    default:
      return baseName(dso.name) || UNKNOWN;
  }
}

/** A guest's kernel is told from another's by the process that runs it. */
function guestKernelName(profile: Profile, { guest }: ProfileDso): string {
  return guest < 0 ? HOST_KERNEL : `[guest.kernel.kallsyms.${profile.guests[guest]?.hostPid ?? 0}]`;
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
