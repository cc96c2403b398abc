/** The options that the commands of `viv perf` share, and what their words mean. */
import { type Command, Option } from "commander";
import { VivError } from "../../base/index.ts";
import type { SampleFilter } from "../../perf/report/filter.ts";
import { SORT_KEYS, type SortKey, sortKey } from "../../perf/report/keys.ts";
import type { CallOrder } from "../../perf/report/rows.ts";

/** Where recordings are kept that nothing is said of, as perf does. */
export const DEFAULT_RECORDING = "perf.data";

export interface FilterFlags {
  readonly guest?: string;
  readonly comm?: string;
  readonly pid?: string;
  readonly vcpu?: string;
  readonly dso?: string;
  readonly symbol?: string;
  readonly time?: string;
}

export const withInput = (command: Command): Command =>
  command.option("-i, --input <dir>", "the recording to read", DEFAULT_RECORDING);

/** `except`: a command has an argument for it. */
export function withFilters(command: Command, except?: keyof FilterFlags): Command {
  const rows: readonly (readonly [keyof FilterFlags, string, string])[] = [
    ["guest", "names", "only these guests"],
    ["comm", "names", "only tasks of these names"],
    ["pid", "numbers", "only these processes"],
    ["vcpu", "numbers", "only these vCPUs"],
    ["dso", "names", "only samples in these kernels, modules, programs or libraries"],
    ["symbol", "names", "only samples in these functions"],
    ["time", "from,to", "only samples from and to these seconds; either may be left out"],
  ];
  for (const [name, value, help] of rows) {
    if (name !== except) command.addOption(new Option(`--${name} <${value}>`, help));
  }
  return command;
}

const usage = (message: string): VivError => new VivError("usage.perf", message);
const list = (text: string): readonly string[] => text.split(",").filter((word) => word !== "");

function numbers(flag: string, text: string): readonly number[] {
  return list(text).map((word) => {
    if (!/^\d+$/.test(word)) throw usage(`--${flag} ${word} is no number: give numbers with commas between them`);
    return Number(word);
  });
}

const NS_PER_S = 1e9;

function timeOf(text: string): { from: number; to: number } {
  const [from = "", to = "", more] = text.split(",");
  const seconds = (word: string, otherwise: number): number => (word === "" ? otherwise : Number(word) * NS_PER_S);
  const range = { from: seconds(from, Number.NEGATIVE_INFINITY), to: seconds(to, Number.POSITIVE_INFINITY) };
  if (more !== undefined || !text.includes(",") || Number.isNaN(range.from) || Number.isNaN(range.to)) {
    throw usage(`--time ${text} is no time: give seconds since the recording began, as 1.5,3 or 2,`);
  }
  return range;
}

/** Throws VivError `usage.perf`. */
export function filterOf(flags: FilterFlags): SampleFilter {
  const { guest, comm, pid, vcpu, dso, symbol, time } = flags;
  return {
    ...(guest === undefined ? {} : { guests: list(guest) }),
    ...(comm === undefined ? {} : { comms: list(comm) }),
    ...(pid === undefined ? {} : { pids: numbers("pid", pid) }),
    ...(vcpu === undefined ? {} : { vcpus: numbers("vcpu", vcpu) }),
    ...(dso === undefined ? {} : { dsos: list(dso) }),
    ...(symbol === undefined ? {} : { symbols: list(symbol) }),
    ...(time === undefined ? {} : { time: timeOf(time) }),
  };
}

/** Throws VivError `usage.perf`. */
export function sortOf(text: string): readonly SortKey[] {
  // perf takes these columns as keys; here they are always there, in front.
  const words = list(text).filter((word) => !["overhead", "overhead_children"].includes(word));
  const keys = words.map((word): SortKey => {
    const key = sortKey(word);
    if (key !== undefined) return key;
    throw usage(`--sort ${word} is no key: choose from ${Object.keys(SORT_KEYS).join(", ")}`);
  });
  if (keys.length === 0) throw usage(`--sort needs a key: choose from ${Object.keys(SORT_KEYS).join(", ")}`);
  return [...new Set(keys)];
}

export const sortHelp = (): string =>
  `rows by these keys: ${Object.entries(SORT_KEYS)
    .map(([name, { help }]) => `${name} (${help})`)
    .join(", ")}`;

/** A share in percent. Throws VivError `usage.perf`. */
export function percent(flag: string, text: string): number {
  const value = Number(text.replace(/%$/, ""));
  if (text === "" || !(value >= 0 && value <= 100))
    throw usage(`${flag} ${text} is no share: give a percentage from 0 to 100`);
  return value;
}

export interface CallGraph {
  readonly shown: boolean;
  readonly order?: CallOrder;
  readonly limit?: number;
}

/** What follows -g: `caller`, `callee` or `none`, and a share below which branches are left out. Throws VivError `usage.perf`. */
export function callGraphOf(text: string): CallGraph {
  let graph: CallGraph = { shown: true };
  for (const word of list(text)) {
    if (word === "none") graph = { ...graph, shown: false };
    else if (word === "caller" || word === "callee") graph = { ...graph, order: word };
    else if (/^[\d.]+%?$/.test(word)) graph = { ...graph, limit: percent("-g", word) };
    // perf's only other way to draw them that we share, and its default.
    else if (word !== "graph") throw usage(`-g ${word} is not known: give caller, callee, none or a percentage`);
  }
  return graph;
}
