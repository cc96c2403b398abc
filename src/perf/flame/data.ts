/**
 * What the flame graph page works on: one profile, or two to compare, told in functions instead of addresses. Frames of the same name, DSO
 * and mode are one function, in whichever guest they ran: filters and root frames tell guests apart. Both profiles share guests (by
 * name), tasks, functions and stacks, so that comparing them is subtracting columns.
 */
import { frameLabel, frameName } from "../names.ts";
import type { DsoKind, Profile, ProfileInfo } from "../profile.ts";

/** Longer names are cut: a guest's symbol table may hold one of a gigabyte. */
const LONGEST_NAME = 4096;

export interface FlameDso {
  readonly kind: DsoKind;
  readonly name: string;
}

export interface FlameGuest {
  readonly name: string;
  readonly hostname?: string | undefined;
  readonly kernelRelease?: string | undefined;
  readonly opaque: boolean;
}

export interface FlameTask {
  /** -1: the host. */
  readonly guest: number;
  readonly pid: number;
  readonly tid: number;
  readonly comm: string;
}

/** A vCPU of a guest: samples are kept lane after lane. */
export interface FlameLane {
  readonly guest: number;
  readonly vcpu: number;
}

/** Samples of one profile, sorted by lane and in it by time. Lane `n` has those from `laneStart[n]` to below `laneStart[n + 1]`. */
export interface FlameSamples {
  readonly info: ProfileInfo;
  readonly laneStart: Int32Array;
  /** Nanoseconds since its recording began. */
  readonly time: Float64Array;
  readonly stack: Int32Array;
  readonly task: Int32Array;
  /** Index into MODES. */
  readonly mode: Int32Array;
  readonly weight: Float64Array;
}

export interface FlameData {
  readonly guests: readonly FlameGuest[];
  readonly dsos: readonly FlameDso[];
  readonly tasks: readonly FlameTask[];
  readonly lanes: readonly FlameLane[];
  readonly functions: { readonly name: readonly string[]; readonly dso: Int32Array; readonly mode: Int32Array };
  /** A tree, as in the profile: callers lie below those they call. */
  readonly stacks: { readonly caller: Int32Array; readonly fn: Int32Array };
  /** The profile, and the one it is compared with. */
  readonly profiles: readonly FlameSamples[];
}

/** Rows told apart by a key, in the order they came. */
class Merged<Row> {
  readonly rows: Row[] = [];
  readonly #index = new Map<string, number>();

  add(key: string, make: () => Row): number {
    let index = this.#index.get(key);
    if (index === undefined) {
      index = this.rows.push(make()) - 1;
      this.#index.set(key, index);
    }
    return index;
  }
}

/** Code of a file without symbols is one function: its addresses would tear the graph to shreds. */
function functionName(profile: Profile, frame: number): string {
  const dso = profile.dsos[profile.frames.dso[frame]!];
  const isOfFile = dso !== undefined && dso.kind !== "unknown";
  return (
    frameName(profile, frame) ?? (isOfFile ? `[${dso.name.replace(/^\[(.*)\]$/s, "$1")}]` : frameLabel(profile, frame))
  );
}

const cut = (name: string): string => (name.length > LONGEST_NAME ? `${name.slice(0, LONGEST_NAME)}…` : name);

interface Function {
  readonly name: string;
  readonly dso: number;
  readonly mode: number;
}

class Merger {
  readonly guests = new Merged<FlameGuest>();
  readonly dsos = new Merged<FlameDso>();
  readonly tasks = new Merged<FlameTask>();
  readonly lanes = new Merged<FlameLane>();
  readonly functions = new Merged<Function>();
  readonly #stackIndex = new Map<number, number>();
  readonly caller: number[] = [];
  readonly fn: number[] = [];

  #guestsOf(profile: Profile): number[] {
    return profile.guests.map(({ name, hostname, kernelRelease, opaque }) =>
      this.guests.add(name, () => ({ name: cut(name), hostname, kernelRelease, opaque })),
    );
  }

  #functionsOf(profile: Profile): Int32Array {
    const dsos = profile.dsos.map(({ kind, name }) =>
      this.dsos.add(`${kind} ${name}`, () => ({ kind, name: cut(name) })),
    );
    return Int32Array.from(profile.frames.address, (_, frame) => {
      const dso = dsos[profile.frames.dso[frame]!] ?? -1;
      const mode = profile.frames.mode[frame]!;
      const name = cut(functionName(profile, frame));
      return this.functions.add(`${dso} ${mode} ${name}`, () => ({ name, dso, mode }));
    });
  }

  #stacksOf(profile: Profile, functions: ArrayLike<number>): Int32Array {
    const { caller, frame } = profile.stacks;
    const stacks = new Int32Array(caller.length);
    for (let stack = 0; stack < stacks.length; stack++) {
      const above = caller[stack]! < 0 ? -1 : stacks[caller[stack]!]!;
      const fn = functions[frame[stack]!]!;
      const key = (above + 1) * 2 ** 26 + fn;
      let index = this.#stackIndex.get(key);
      if (index === undefined) {
        index = this.caller.push(above) - 1;
        this.fn.push(fn);
        this.#stackIndex.set(key, index);
      }
      stacks[stack] = index;
    }
    return stacks;
  }

  /** Adds a profile; called again once all lanes are known, it sorts its samples by them. */
  add(profile: Profile): () => FlameSamples {
    const guests = this.#guestsOf(profile);
    const stacks = this.#stacksOf(profile, this.#functionsOf(profile));
    const tasks = profile.tasks.map(({ guest: own, pid, tid, comm }) => {
      const guest = guests[own] ?? -1;
      return this.tasks.add(`${guest} ${pid} ${tid} ${comm}`, () => ({ guest, pid, tid, comm: cut(comm) }));
    });
    const { samples } = profile;
    const lanes = new Map<number, number>();
    const laneOf = Int32Array.from(samples.task, (task, sample) => {
      const guest = guests[profile.tasks[task]?.guest ?? -1] ?? -1;
      const vcpu = samples.vcpu[sample]!;
      const key = (guest + 1) * 2 ** 20 + vcpu;
      let lane = lanes.get(key);
      if (lane === undefined) {
        lane = this.lanes.add(`${guest} ${vcpu}`, () => ({ guest, vcpu }));
        lanes.set(key, lane);
      }
      return lane;
    });
    return () => {
      const { order, laneStart } = sorted(laneOf, samples.time, this.lanes.rows.length);
      return {
        info: profile.info,
        laneStart,
        time: Float64Array.from(order, (sample) => samples.time[sample]!),
        stack: Int32Array.from(order, (sample) => stacks[samples.stack[sample]!] ?? -1),
        task: Int32Array.from(order, (sample) => tasks[samples.task[sample]!] ?? -1),
        mode: Int32Array.from(order, (sample) => samples.mode[sample]!),
        weight: Float64Array.from(order, (sample) => samples.weight[sample]!),
      };
    };
  }
}

/** Samples by lane, then time: by counting, as each lane's mostly are in order. */
function sorted(laneOf: Int32Array, time: Float64Array, lanes: number): { order: Int32Array; laneStart: Int32Array } {
  const laneStart = new Int32Array(lanes + 1);
  for (const lane of laneOf) laneStart[lane + 1]!++;
  for (let lane = 0; lane < lanes; lane++) laneStart[lane + 1]! += laneStart[lane]!;
  const next = laneStart.slice();
  const order = new Int32Array(laneOf.length);
  for (let sample = 0; sample < laneOf.length; sample++) order[next[laneOf[sample]!]!++] = sample;
  for (let lane = 0; lane < lanes; lane++) {
    const part = order.subarray(laneStart[lane]!, laneStart[lane + 1]!);
    if (part.some((sample, at) => at > 0 && time[sample]! < time[part[at - 1]!]!)) {
      part.sort((a, b) => time[a]! - time[b]! || a - b);
    }
  }
  return { order, laneStart };
}

/** Lanes in the order people expect: by guest, then vCPU. */
function inOrder(data: FlameData): FlameData {
  const order = data.lanes.map((_, lane) => lane);
  order.sort((a, b) => data.lanes[a]!.guest - data.lanes[b]!.guest || data.lanes[a]!.vcpu - data.lanes[b]!.vcpu);
  if (order.every((lane, at) => lane === at)) return data;
  const profiles = data.profiles.map((samples) => {
    const laneStart = new Int32Array(order.length + 1);
    const from: number[] = [];
    for (const [at, lane] of order.entries()) {
      const [first, end] = [samples.laneStart[lane]!, samples.laneStart[lane + 1]!];
      laneStart[at + 1] = laneStart[at]! + end - first;
      from.push(first);
    }
    const moved = <Kind extends Int32Array | Float64Array>(column: Kind): Kind => {
      const result = column.slice() as Kind;
      for (let at = 0; at < order.length; at++) {
        const length = laneStart[at + 1]! - laneStart[at]!;
        result.set(column.subarray(from[at]!, from[at]! + length), laneStart[at]!);
      }
      return result;
    };
    const { info, time, stack, task, mode, weight } = samples;
    return {
      info,
      laneStart,
      time: moved(time),
      stack: moved(stack),
      task: moved(task),
      mode: moved(mode),
      weight: moved(weight),
    };
  });
  return { ...data, lanes: order.map((lane) => data.lanes[lane]!), profiles };
}

/** `other`: what the profile is compared with, the one after. */
export function flameData(profile: Profile, other?: Profile): FlameData {
  const merger = new Merger();
  const added = [profile, ...(other === undefined ? [] : [other])].map((one) => merger.add(one));
  const functions = merger.functions.rows;
  return inOrder({
    guests: merger.guests.rows,
    dsos: merger.dsos.rows,
    tasks: merger.tasks.rows,
    lanes: merger.lanes.rows,
    functions: {
      name: functions.map(({ name }) => name),
      dso: Int32Array.from(functions, ({ dso }) => dso),
      mode: Int32Array.from(functions, ({ mode }) => mode),
    },
    stacks: { caller: Int32Array.from(merger.caller), fn: Int32Array.from(merger.fn) },
    profiles: added.map((samples) => samples()),
  });
}
