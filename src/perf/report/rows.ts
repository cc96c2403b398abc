/**
 * The rows of a report, as `perf report` makes them (tools/perf/util/hist.c): what a row sums up is the samples' weight, its share
 * that of all samples, and with children a row has each sample once that it is anywhere on the stack of.
 */
import type { Profile } from "../profile.ts";
import { type SampleFilter, wantsFrame } from "./filter.ts";
import { FrameNames } from "./frame-names.ts";
import { grouped, Ids, PairIds } from "./ids.ts";
import { DEFAULT_SORT, type RowSubject, SORT_KEYS, type SortKey } from "./keys.ts";
import { type Tallies, tally } from "./tallies.ts";

/** From where call graphs are read: from the thread's start down, or from the sample up. */
export type CallOrder = "caller" | "callee";

export interface ReportOptions {
  readonly sort: readonly SortKey[];
  /** A row has the samples of what it called, too. */
  readonly children: boolean;
  /** Call graphs will be asked for. */
  readonly graph: boolean;
  readonly order: CallOrder;
  readonly filter: SampleFilter;
  /** Shares are of what the filter let through, not of all. */
  readonly relative: boolean;
}

export interface ReportRow extends RowSubject {
  /** Its number in this report, before any sorting. */
  readonly id: number;
  /** Weight of the samples in it itself. */
  readonly self: number;
  /** And in what it called; without children the same. */
  readonly total: number;
  readonly samples: number;
  /** Longest chain of its call graph: perf puts callers first where all else is equal. */
  readonly depth: number;
}

export interface Report {
  readonly names: FrameNames;
  readonly options: ReportOptions;
  /** In the order they are shown. */
  readonly rows: readonly ReportRow[];
  /** What shares are of. */
  readonly total: number;
  readonly samples: number;
  readonly tallies: Tallies;
  /** Numbers given to rows. */
  readonly rowCount: number;
  /** By tally: the row of its frame. */
  readonly rowOf: Int32Array;
  /** By tally: the nearest caller of the same row, or -1. */
  readonly sameAbove: Int32Array;
}

/** As perf has it where nothing is said: with children where there are stacks. */
export function defaultOptions(profile: Profile): ReportOptions {
  const children = hasCallers(profile);
  return {
    sort: DEFAULT_SORT,
    children,
    graph: children,
    order: children ? "caller" : "callee",
    filter: {},
    relative: false,
  };
}

/** Whether stacks were recorded: samples taken without have one frame at most. */
export const hasCallers = ({ stacks }: Profile): boolean => stacks.caller.some((caller) => caller >= 0);

export function report(profile: Profile, options: ReportOptions, names = new FrameNames(profile)): Report {
  const { samplesFilter, wantsRow } = split(names, options);
  const tallies = tally(names, options.sort, samplesFilter, options.children || options.graph);
  const frameKeys = options.sort.filter((key) => SORT_KEYS[key].of === "frame");
  const frameClass = classesOfFrames(names, frameKeys);
  const { count } = tallies;
  const ids = new PairIds(beyond(frameClass), tallies.groups);
  const rowOf = new Int32Array(count);
  for (let id = 0; id < count; id++) rowOf[id] = ids.of(frameClass[tallies.frame[id]!]!, tallies.group[id]!);
  const sameAbove = options.children ? nearestAbove(tallies, rowOf, ids.length) : new Int32Array(count).fill(-1);
  const rows = collect(tallies, rowOf, sameAbove, ids.length, options);
  return {
    names,
    options,
    rows: rows.filter((row) => wantsRow(row.frame)).sort(comparison(names, options)),
    total: options.relative ? tallies.wantedWeight : tallies.totalWeight,
    samples: options.relative ? tallies.wantedCount : tallies.totalCount,
    tallies,
    rowCount: ids.length,
    rowOf,
    sameAbove,
  };
}

/**
 * A filter by symbol or DSO is about rows where they are such, with all that the function called: the samples there alone would leave its
 * children out. It is about samples where rows are something else, or have no children.
 */
function split(names: FrameNames, { children, sort, filter }: ReportOptions) {
  const { symbols, dsos, ...others } = filter;
  const none = symbols === undefined && dsos === undefined;
  const ofRows = sort.includes("sym") || (sort.includes("dso") && symbols === undefined);
  if (none || !children || !ofRows) return { samplesFilter: filter, wantsRow: () => true };
  const wantsRow = (frame: number): boolean => wantsFrame(names, filter, frame);
  return { samplesFilter: others, wantsRow };
}

function classesOfFrames(names: FrameNames, keys: readonly SortKey[]): Int32Array {
  const identities = (key: SortKey): Int32Array =>
    Int32Array.from({ length: names.count }, (_, frame) => Number(SORT_KEYS[key].identity(names, frame)));
  const [only, ...others] = keys;
  let classes = only === undefined ? new Int32Array(names.count) : identities(only);
  for (const key of others) {
    const more = identities(key);
    const pairs = new PairIds(beyond(classes), beyond(more));
    classes = classes.map((before, frame) => pairs.of(before, more[frame]!));
  }
  return classes;
}

/** Above all of the numbers. */
const beyond = (numbers: Int32Array): number => numbers.reduce((most, number) => Math.max(most, number), -1) + 1;

/** By tally: the nearest caller in the same row. Goes through the forest once, with the last tally of each row on the way down. */
function nearestAbove({ caller, count }: Tallies, rowOf: Int32Array, rowCount: number): Int32Array {
  const above = new Int32Array(count).fill(-1);
  const called = grouped(caller, count);
  const lastOf = new Int32Array(rowCount).fill(-1);
  const path: number[] = [];
  const next = called.start.slice(0, count);
  for (let root = 0; root < count; root++) {
    if (caller[root]! >= 0) continue;
    path.push(root);
    lastOf[rowOf[root]!] = root;
    while (path.length > 0) {
      const id = path[path.length - 1]!;
      if (next[id]! < called.start[id + 1]!) {
        const below = called.list[next[id]!++]!;
        above[below] = lastOf[rowOf[below]!]!;
        lastOf[rowOf[below]!] = below;
        path.push(below);
      } else {
        path.pop();
        lastOf[rowOf[id]!] = above[id]!;
      }
    }
  }
  return above;
}

function collect(
  t: Tallies,
  rowOf: Int32Array,
  above: Int32Array,
  rowCount: number,
  options: ReportOptions,
): ReportRow[] {
  const self = new Float64Array(rowCount);
  const total = new Float64Array(rowCount);
  const samples = new Int32Array(rowCount);
  const depth = new Int32Array(rowCount);
  const first = new Int32Array(rowCount).fill(-1);
  for (let id = 0; id < t.count; id++) {
    const row = rowOf[id]!;
    const here = t.selfCount[id]!;
    self[row]! += t.selfWeight[id]!;
    samples[row]! += here;
    // Chains of a row's own samples are whole; the others begin or end at the row.
    if (here > 0) depth[row] = Math.max(depth[row]!, t.depth[id]!);
    if (options.children && above[id]! < 0) {
      total[row]! += t.weight[id]!;
      const chain = options.order === "caller" ? t.deepest[id]! - t.depth[id]! + 1 : t.depth[id]!;
      depth[row] = Math.max(depth[row]!, chain);
    }
    if (first[row]! < 0 && (options.children || here > 0)) first[row] = id;
  }
  const rows: ReportRow[] = [];
  for (let id = 0; id < rowCount; id++) {
    const at = first[id]!;
    if (at < 0) continue;
    rows.push({
      id,
      frame: t.frame[at]!,
      task: t.task[at]!,
      vcpu: t.vcpu[at]!,
      self: self[id]!,
      total: options.children ? total[id]! : self[id]!,
      samples: samples[id]!,
      depth: depth[id]!,
    });
  }
  return rows;
}

/** perf's order: children, then itself, then the keys in turn. */
function comparison(names: FrameNames, { children, graph, order, sort }: ReportOptions) {
  const threads = new Ids<string>();
  const thread = names.profile.tasks.map((task) => threads.of(`${task.guest} ${task.tid}`));
  const deeperFirst = order === "caller" ? 1 : -1;
  return (a: ReportRow, b: ReportRow): number => {
    if (children) {
      if (a.total !== b.total) return b.total - a.total;
      if (graph && thread[a.task] === thread[b.task] && a.depth !== b.depth) return (b.depth - a.depth) * deeperFirst;
    }
    if (a.self !== b.self) return b.self - a.self;
    for (const key of sort) {
      const ordered = SORT_KEYS[key].compare(names, a, b);
      if (ordered !== 0) return ordered;
    }
    return names.symbolStart(a.frame) - names.symbolStart(b.frame) || a.id - b.id;
  };
}
