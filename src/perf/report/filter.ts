/** Which samples count: by guest, task and time, and by where the sample itself was, as perf's --comms, --dsos and --symbols do. */
import type { FrameNames } from "./frame-names.ts";

export interface SampleFilter {
  readonly guests?: readonly string[];
  readonly comms?: readonly string[];
  readonly pids?: readonly number[];
  readonly vcpus?: readonly number[];
  /** Short names, or whole paths. */
  readonly dsos?: readonly string[];
  readonly symbols?: readonly string[];
  /** Nanoseconds since the recording began; both ends count. */
  readonly time?: { readonly from: number; readonly to: number };
}

const wants = <T>(list: readonly T[] | undefined, value: T | undefined): boolean =>
  list === undefined || (value !== undefined && list.includes(value));

/** Whether a frame is of the symbols and DSOs that are asked for. */
export const wantsFrame = (names: FrameNames, { symbols, dsos }: SampleFilter, frame: number): boolean =>
  wants(symbols, names.symbol(frame)) && (wants(dsos, names.dso(frame)) || wants(dsos, names.dsoPath(frame)));

/** A filter, judged once for each task and frame rather than for each sample. */
export class Sieve {
  readonly #names: FrameNames;
  /** 1 where samples of the task, or at the frame, are wanted. */
  readonly #tasks: Uint8Array;
  readonly #frames: Uint8Array | undefined;
  readonly #vcpus: ReadonlySet<number> | undefined;
  readonly #from: number;
  readonly #to: number;

  constructor(names: FrameNames, filter: SampleFilter) {
    const { tasks, guests } = names.profile;
    this.#names = names;
    this.#tasks = Uint8Array.from(tasks, ({ guest, comm, pid }) =>
      wants(filter.guests, guests[guest]?.name) && wants(filter.comms, comm) && wants(filter.pids, pid) ? 1 : 0,
    );
    if (filter.dsos !== undefined || filter.symbols !== undefined) {
      this.#frames = Uint8Array.from({ length: names.count }, (_, frame) => (wantsFrame(names, filter, frame) ? 1 : 0));
    }
    this.#vcpus = filter.vcpus === undefined ? undefined : new Set(filter.vcpus);
    this.#from = filter.time?.from ?? Number.NEGATIVE_INFINITY;
    this.#to = filter.time?.to ?? Number.POSITIVE_INFINITY;
  }

  inTime(sample: number): boolean {
    const time = this.#names.profile.samples.time[sample]!;
    return time >= this.#from && time <= this.#to;
  }

  passes(sample: number): boolean {
    const { task, vcpu } = this.#names.profile.samples;
    if (this.#tasks[task[sample]!] !== 1 || !this.inTime(sample)) return false;
    if (this.#vcpus !== undefined && !this.#vcpus.has(vcpu[sample]!)) return false;
    return this.#frames === undefined || this.#frames[this.leaf(sample)] === 1;
  }

  /** The frame the sample was taken in. */
  leaf(sample: number): number {
    const { samples, stacks } = this.#names.profile;
    const stack = samples.stack[sample]!;
    return stack >= 0 ? stacks.frame[stack]! : this.#names.withoutStack(samples.mode[sample]!);
  }
}
