/** Samples of a profile by whose they are, in the order of time: what formats call threads, or profiles. */
import type { Profile } from "../profile.ts";

export interface SampleGroup {
  readonly guest: number;
  /** vCPU of all of them, where they are grouped so. */
  readonly vcpu: number;
  /** Row of the task they are of: the last name that it had. */
  readonly task: number;
  /** Indices of samples. */
  readonly samples: Int32Array;
  readonly weight: number;
}

/** One group for each vCPU of each guest, or for each thread in them. */
export type GroupBy = "vcpu" | "task";

/** The groups that have samples, guest by guest. */
export function sampleGroups({ samples, tasks }: Profile, by: GroupBy): readonly SampleGroup[] {
  const lists = new Map<string, number[]>();
  for (let i = 0; i < samples.task.length; i++) {
    const { guest, pid, tid } = tasks[samples.task[i]!]!;
    const key = by === "vcpu" ? `${guest} ${samples.vcpu[i]}` : `${guest} ${pid} ${tid}`;
    const list = lists.get(key);
    if (list === undefined) lists.set(key, [i]);
    else list.push(i);
  }
  const groups = [...lists.values()].map((list) => {
    const order = Int32Array.from(list).sort((a, b) => samples.time[a]! - samples.time[b]! || a - b);
    const last = order[order.length - 1]!;
    const task = samples.task[last]!;
    const weight = order.reduce((sum, i) => sum + samples.weight[i]!, 0);
    return { guest: tasks[task]!.guest, vcpu: samples.vcpu[last]!, task, samples: order, weight };
  });
  const place = ({ guest, vcpu, task }: SampleGroup): readonly number[] =>
    by === "vcpu" ? [guest, vcpu] : [guest, tasks[task]!.pid, tasks[task]!.tid];
  return groups.sort((a, b) => {
    const [left, right] = [place(a), place(b)];
    const at = left.findIndex((value, i) => value !== right[i]);
    return at < 0 ? 0 : left[at]! - right[at]!;
  });
}
