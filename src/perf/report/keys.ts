/** What rows can be sorted by: one row a key, named as perf names them where it has them. */
import { MODES } from "../profile.ts";
import type { FrameNames } from "./frame-names.ts";

/** What a row of a report stands for: any sample of it. */
export interface RowSubject {
  readonly frame: number;
  readonly task: number;
  readonly vcpu: number;
}

interface Key {
  readonly title: string;
  readonly help: string;
  /** What the key is a property of. */
  readonly of: "task" | "frame" | "vcpu";
  /** Rows are one where this is. */
  identity(names: FrameNames, index: number): string | number;
  text(names: FrameNames, subject: RowSubject): string;
  /** Which comes first where all before is equal: perf's se_sort. */
  compare(names: FrameNames, a: RowSubject, b: RowSubject): number;
  readonly align?: "right";
}

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
const task = (names: FrameNames, index: number) => names.profile.tasks[index];
const guestName = (names: FrameNames, index: number): string =>
  names.profile.guests[task(names, index)?.guest ?? -1]?.name ?? "[host]";

/** Of a process its first thread's name; pid 0 is each vCPU's idle task. */
function leaderComm(names: FrameNames, index: number): string {
  const row = task(names, index);
  if (row === undefined || row.pid === row.tid) return row?.comm ?? "";
  return (
    names.profile.tasks.find((t) => t.guest === row.guest && t.pid === row.pid && t.tid === row.pid)?.comm ?? row.comm
  );
}

const rows = {
  guest: {
    title: "Guest",
    help: "guest, by its name on this host",
    of: "task",
    identity: (names, index) => task(names, index)?.guest ?? -1,
    text: (names, { task: index }) => guestName(names, index),
    compare: (names, a, b) => byText(guestName(names, a.task), guestName(names, b.task)),
  },
  vcpu: {
    title: "VCPU",
    help: "virtual processor",
    of: "vcpu",
    identity: (_, index) => index,
    text: (_, { vcpu }) => String(vcpu),
    compare: (_, a, b) => a.vcpu - b.vcpu,
    align: "right",
  },
  comm: {
    title: "Command",
    help: "name of the task",
    of: "task",
    identity: (names, index) => task(names, index)?.comm ?? "",
    text: (names, { task: index }) => task(names, index)?.comm ?? "",
    compare: (names, a, b) => byText(task(names, a.task)?.comm ?? "", task(names, b.task)?.comm ?? ""),
  },
  pid: {
    title: "Pid:Command",
    help: "process",
    of: "task",
    identity: (names, index) => `${task(names, index)?.guest} ${task(names, index)?.pid}`,
    text: (names, { task: index }) =>
      `${String(task(names, index)?.pid ?? -1).padStart(7)}:${leaderComm(names, index)}`,
    compare: (names, a, b) => (task(names, a.task)?.pid ?? -1) - (task(names, b.task)?.pid ?? -1),
  },
  tid: {
    title: "Tid:Command",
    help: "thread",
    of: "task",
    identity: (names, index) => `${task(names, index)?.guest} ${task(names, index)?.tid}`,
    text: (names, { task: index }) =>
      `${String(task(names, index)?.tid ?? -1).padStart(7)}:${task(names, index)?.comm ?? ""}`,
    compare: (names, a, b) => (task(names, a.task)?.tid ?? -1) - (task(names, b.task)?.tid ?? -1),
  },
  dso: {
    title: "Shared Object",
    help: "kernel, module, program or library",
    of: "frame",
    identity: (names, index) => names.dsoClass[index]!,
    text: (names, { frame }) => names.dso(frame),
    compare: (names, a, b) =>
      Number(names.hasDso(b.frame)) - Number(names.hasDso(a.frame)) || byText(names.dso(a.frame), names.dso(b.frame)),
  },
  sym: {
    title: "Symbol",
    help: "function, or address where it has no name",
    of: "frame",
    identity: (names, index) => names.functionClass[index]!,
    text: (names, { frame }) => `[${names.mark(frame)}] ${names.title(frame)}`,
    compare: (names, a, b) => {
      const [left, right] = [names.symbol(a.frame), names.symbol(b.frame)];
      if (left === undefined || right === undefined) return Number(left === undefined) - Number(right === undefined);
      return byText(left, right);
    },
  },
  mode: {
    title: "Mode",
    help: "guest.kernel, guest.user, host or idle",
    of: "frame",
    identity: (names, index) => names.mode(index),
    text: (names, { frame }) => MODES[names.mode(frame)] ?? "?",
    compare: (names, a, b) => names.mode(a.frame) - names.mode(b.frame),
  },
} satisfies Record<string, Key>;

export type SortKey = keyof typeof rows;
export const SORT_KEYS: Readonly<Record<SortKey, Key>> = rows;
/** As perf sorts where nothing is said. */
export const DEFAULT_SORT: readonly SortKey[] = ["comm", "dso", "sym"];

/** Other names that perf has for them. */
const ALIASES: Readonly<Record<string, SortKey>> = { symbol: "sym", machine: "guest" };

/** `name` as a key; undefined where there is none. */
export function sortKey(name: string): SortKey | undefined {
  const key = ALIASES[name] ?? name;
  return Object.hasOwn(rows, key) ? (key as SortKey) : undefined;
}
