/**
 * A profile's samples summed up: for each stack, and each group of tasks and vCPUs that the sort keys keep apart, the weight of
 * the samples there and of those below. Rows and call graphs follow from it without another look at the samples.
 *
 * A tally is a pair (stack, group). Its caller is the pair (caller's stack, group), so the tallies are a forest like the stacks.
 */
import { int32Column } from "../columns.ts";
import { MODES, type Profile } from "../profile.ts";
import { type SampleFilter, Sieve } from "./filter.ts";
import type { FrameNames } from "./frame-names.ts";
import { Ids, PairIds } from "./ids.ts";
import { SORT_KEYS, type SortKey } from "./keys.ts";

export interface Tallies {
  readonly count: number;
  /** By tally. Of a sample without stack: behind the profile's stacks, one for each mode. */
  readonly stack: Int32Array;
  readonly frame: Int32Array;
  /** Equal where the sort keys see no difference of task and vCPU; below `groups`. */
  readonly group: Int32Array;
  readonly groups: number;
  /** The caller's tally, or -1. */
  readonly caller: Int32Array;
  /** Frames from the thread's start down to this one. */
  readonly depth: Int32Array;
  /** Depth of the deepest sample at or below it. */
  readonly deepest: Int32Array;
  /** Of samples right here. */
  readonly selfWeight: Float64Array;
  readonly selfCount: Int32Array;
  /** Of samples here or below; only with callers. */
  readonly weight: Float64Array;
  readonly samples: Int32Array;
  /** Task and vCPU of the first sample. */
  readonly task: Int32Array;
  readonly vcpu: Int32Array;
  /** Of all samples that the filter let through. */
  readonly wantedWeight: number;
  readonly wantedCount: number;
  /** Of all samples in the time that was asked for. */
  readonly totalWeight: number;
  readonly totalCount: number;
}

export function tally(names: FrameNames, keys: readonly SortKey[], filter: SampleFilter, callers: boolean): Tallies {
  const { samples, stacks } = names.profile;
  const stackCount = stacks.frame.length;
  const sieve = new Sieve(names, filter);
  const groups = groupsOf(names, keys);
  // Samples without stack have one for each mode, behind the others.
  const ids = new PairIds(stackCount + MODES.length, groups.count);
  const self = new Sums();
  const totals = { wantedWeight: 0, wantedCount: 0, totalWeight: 0, totalCount: 0 };
  for (let i = 0; i < samples.stack.length; i++) {
    if (!sieve.inTime(i)) continue;
    const weight = samples.weight[i]!;
    totals.totalWeight += weight;
    totals.totalCount++;
    if (!sieve.passes(i)) continue;
    totals.wantedWeight += weight;
    totals.wantedCount++;
    const [task, vcpu] = [samples.task[i]!, samples.vcpu[i]!];
    const stack = samples.stack[i]! < 0 ? stackCount + samples.mode[i]! : samples.stack[i]!;
    self.add(ids.of(stack, groups.of(task, vcpu)), weight, task, vcpu);
  }
  const leaves = ids.length;
  const caller = callers ? addCallers(names.profile, ids, self) : new Int32Array(leaves).fill(-1);

  const count = ids.length;
  const stack = ids.first;
  const depth = depths(names.profile, stack);
  const weight = self.weight.slice(0, count);
  const sampleCount = self.count.slice(0, count);
  const deepest = new Int32Array(count);
  for (let id = 0; id < leaves; id++) deepest[id] = depth[id]!;
  const order = callers ? deepestFirst(depth) : [];
  for (let i = 0; i < order.length; i++) {
    const id = order[i]!;
    const above = caller[id]!;
    if (above < 0) continue;
    weight[above]! += weight[id]!;
    sampleCount[above]! += sampleCount[id]!;
    if (deepest[id]! > deepest[above]!) deepest[above] = deepest[id]!;
  }
  const frame = new Int32Array(count);
  for (let id = 0; id < count; id++) {
    frame[id] = stack[id]! < stackCount ? stacks.frame[stack[id]!]! : names.withoutStack(stack[id]! - stackCount);
  }
  return {
    count,
    stack,
    frame,
    group: ids.second,
    groups: groups.count,
    caller,
    depth,
    deepest,
    selfWeight: self.weight.subarray(0, count),
    selfCount: self.count.subarray(0, count),
    weight,
    samples: sampleCount,
    task: self.task.subarray(0, count),
    vcpu: self.vcpu.subarray(0, count),
    ...totals,
  };
}

/** What a tally adds up, growing. */
class Sums {
  weight = new Float64Array(1024);
  count = new Int32Array(1024);
  task = new Int32Array(1024);
  vcpu = new Int32Array(1024);

  add(id: number, weight: number, task: number, vcpu: number): void {
    this.reach(id, task, vcpu);
    this.weight[id]! += weight;
    this.count[id]!++;
  }

  /** Makes room for a tally; its first sample gives it task and vCPU. */
  reach(id: number, task: number, vcpu: number): void {
    if (id >= this.#length) {
      if (id >= this.weight.length) this.#grow();
      this.task[id] = task;
      this.vcpu[id] = vcpu;
      this.#length = id + 1;
    }
  }
  #length = 0;

  #grow(): void {
    const room = this.weight.length * 2;
    const [weight, count, task, vcpu] = [new Float64Array(room), ...[0, 0, 0].map(() => new Int32Array(room))] as const;
    weight.set(this.weight);
    count!.set(this.count);
    task!.set(this.task);
    vcpu!.set(this.vcpu);
    [this.weight, this.count, this.task, this.vcpu] = [weight, count!, task!, vcpu!];
  }
}

/** A tally for each caller of a tally, up to the threads' starts. Answers with the caller of each. */
function addCallers({ stacks }: Profile, ids: PairIds, sums: Sums): Int32Array {
  const caller = int32Column();
  for (let id = 0; id < ids.length; id++) {
    const stack = ids.firstOf(id);
    const above = stack < stacks.caller.length ? stacks.caller[stack]! : -1;
    // A caller's index is below the stack's: so this ends, whatever a file says.
    const known = above >= 0 && above < stack;
    const callerId = known ? ids.of(above, ids.secondOf(id)) : -1;
    if (known) sums.reach(callerId, sums.task[id]!, sums.vcpu[id]!);
    caller.push(callerId);
  }
  return caller.values() as Int32Array;
}

/** By tally: frames on its stack. */
function depths({ stacks }: Profile, stack: Int32Array): Int32Array {
  const byStack = new Int32Array(stacks.caller.length);
  for (let i = 0; i < byStack.length; i++) {
    const above = stacks.caller[i]!;
    byStack[i] = above >= 0 && above < i ? byStack[above]! + 1 : 1;
  }
  const depth = new Int32Array(stack.length);
  for (let id = 0; id < depth.length; id++) depth[id] = stack[id]! < byStack.length ? byStack[stack[id]!]! : 1;
  return depth;
}

/** Tallies with the deepest before all others: by counting. */
function deepestFirst(depth: Int32Array): Int32Array {
  let most = 0;
  for (let id = 0; id < depth.length; id++) most = Math.max(most, depth[id]!);
  const starts = new Int32Array(most + 2);
  for (let id = 0; id < depth.length; id++) starts[starts.length - 1 - depth[id]!]!++;
  for (let i = 0, sum = 0; i < starts.length; i++) {
    const here = starts[i]!;
    starts[i] = sum;
    sum += here;
  }
  const order = new Int32Array(depth.length);
  for (let id = 0; id < depth.length; id++) order[starts[starts.length - 1 - depth[id]!]!++] = id;
  return order;
}

/** Groups of tasks and vCPUs, by number. */
interface Groups {
  readonly count: number;
  of(task: number, vcpu: number): number;
}

function groupsOf(names: FrameNames, keys: readonly SortKey[]): Groups {
  const { tasks, samples } = names.profile;
  const taskKeys = keys.filter((key) => SORT_KEYS[key].of === "task");
  const ids = new Ids<string>();
  const classes = Int32Array.from(tasks, (_, task) =>
    ids.of(JSON.stringify(taskKeys.map((key) => SORT_KEYS[key].identity(names, task)))),
  );
  const count = Math.max(1, ids.keys.length);
  if (!keys.includes("vcpu")) return { count, of: (task) => classes[task] ?? 0 };
  const vcpus = new Ids<number>();
  for (let i = 0; i < samples.vcpu.length; i++) vcpus.of(samples.vcpu[i]!);
  const of = (task: number, vcpu: number): number => (classes[task] ?? 0) + count * vcpus.of(vcpu);
  return { count: count * Math.max(1, vcpus.keys.length), of };
}
