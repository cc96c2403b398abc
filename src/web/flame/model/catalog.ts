/**
 * All that can be a box: the profile's functions, and in front of them what groups samples: everything, guests, vCPUs, commands. Names are made
 * safe to show here, once.
 */
import { forTerminal } from "../../../guest/escape.ts";
import type { FlameData } from "../../../perf/flame/data.ts";
import { MODES } from "../../../perf/profile.ts";

/** What a box is, for its colour and what is said of it. */
export const KINDS = [
  { name: "group", label: "group" },
  { name: "kernel", label: "guest kernel" },
  { name: "module", label: "kernel module" },
  { name: "user", label: "guest user" },
  { name: "jit", label: "vDSO, generated code" },
  { name: "host", label: "host" },
  { name: "idle", label: "asleep" },
  { name: "unknown", label: "unknown" },
] as const;
export type Kind = (typeof KINDS)[number]["name"];

/** Box numbers that every catalog begins with. */
export const ALL = 0;
export const NO_STACK = 1;

export interface Catalog {
  readonly names: readonly string[];
  readonly lowerCase: readonly string[];
  readonly kinds: readonly Kind[];
  /** Index into `dsoNames`; -1 none. */
  readonly dso: Int32Array;
  readonly dsoNames: readonly string[];
  /** Index into MODES of a function; -1 for groups. */
  readonly mode: Int32Array;
  /** First of each sort: boxes below `functions` are groups. */
  readonly functions: number;
  readonly guestBox: (guest: number) => number;
  readonly laneBox: (lane: number) => number;
  /** Tasks of one command share a box. */
  readonly taskBox: (task: number) => number;
  readonly guestNames: readonly string[];
  readonly laneNames: readonly string[];
  readonly taskNames: readonly string[];
}

/** Every box can be read, and pointed to. */
const shown = (name: string): string => {
  const text = forTerminal(name);
  return text.trim() === "" ? "(no name)" : text;
};

function kindOf(mode: string, dso: string | undefined): Kind {
  if (mode === "host" || mode === "idle") return mode;
  if (dso === "module" || dso === "host") return dso;
  if (dso === "jit" || dso === "vdso") return "jit";
  if (dso === undefined || dso === "unknown") return "unknown";
  return mode === "guest.kernel" ? "kernel" : "user";
}

export function catalogOf(data: FlameData): Catalog {
  const { functions } = data;
  const guestNames = data.guests.map(({ name }) => shown(name));
  const guestName = (guest: number): string => guestNames[guest] ?? "host";
  const groups = ["all", "[no stack]"];
  const add = (name: string): number => groups.push(name) - 1;
  const hostBox = add("host");
  const guestBoxes = guestNames.map(add);
  const vcpus = new Map<number, number>();
  const laneBoxes = data.lanes.map(({ vcpu }) => {
    const box = vcpus.get(vcpu) ?? add(vcpu < 0 ? "no vCPU" : `vCPU ${vcpu}`);
    vcpus.set(vcpu, box);
    return box;
  });
  const commands = new Map<string, number>();
  const taskBoxes = data.tasks.map(({ comm }) => {
    const box = commands.get(comm) ?? add(shown(comm));
    commands.set(comm, box);
    return box;
  });
  const first = groups.length;
  const dso = new Int32Array(first + functions.dso.length).fill(-1);
  dso.set(functions.dso, first);
  const mode = new Int32Array(dso.length).fill(-1);
  mode.set(functions.mode, first);
  const names = [...groups, ...functions.name.map(shown)];
  return {
    names,
    lowerCase: names.map((name) => name.toLowerCase()),
    kinds: Array.from(mode, (mode, box) =>
      box < first ? "group" : kindOf(MODES[mode] ?? "", data.dsos[dso[box]!]?.kind),
    ),
    dso,
    dsoNames: data.dsos.map(({ name }) => shown(name)),
    mode,
    functions: first,
    guestBox: (guest) => guestBoxes[guest] ?? hostBox,
    laneBox: (lane) => laneBoxes[lane]!,
    taskBox: (task) => taskBoxes[task] ?? NO_STACK,
    guestNames,
    laneNames: data.lanes.map(({ guest, vcpu }) => `${guestName(guest)} ${vcpu < 0 ? "no vCPU" : `vCPU ${vcpu}`}`),
    taskNames: data.tasks.map(({ guest, pid, tid, comm }) => {
      const numbers = pid === tid ? `${pid}` : `${pid}/${tid}`;
      return `${shown(comm)} ${numbers}${data.guests.length > 1 ? ` (${guestName(guest)})` : ""}`;
    }),
  };
}
