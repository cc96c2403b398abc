/** A guest that can be looked into and profiled: the same for guests of this process and of others. */
import type { RecordedGuests } from "../../perf/attachments.ts";
import type { Profile } from "../../perf/profile.ts";
import { GuestFile } from "./guest-file.ts";
import { Handover } from "./handover.ts";
import type { Inspection, InspectionSubject, Inspections } from "./inspections.ts";
import type { ExitReport, GuestObserver, OrderUnderWay } from "./orders.ts";
import { type RecordOptions, recordOrder, type StopSignal, type WatchOptions, watchOrder } from "./watch-options.ts";

/**
 * What all of these have in common: nothing runs in the guest, and nothing asks it; its memory is read by a thread of its process that
 * cannot write there. Where nothing else is said they throw VivError: `guest.opaque`, the guest was started with `opaque`; `guest.…`, its
 * kernel is not found, or has no types to read its memory by; `guest.gone`, it ended meanwhile.
 */
export abstract class ObservedGuest {
  /** What the guest is called in profiles and messages; undefined: it has no name. */
  abstract get name(): string | undefined;

  /** The thread that looks inside, made when it is first asked something. */
  abstract observer(): Promise<GuestObserver>;

  /**
   * What runs inside, right now. `maps`, `files` and `stack` are of a process, by its number; `ls` is of a directory.
   *
   * ```ts
   * const { rows } = await vm.inspect("tasks");
   * for (const { pid, comm } of rows) console.log(pid, comm);
   * const [{ frames }] = await vm.inspect("stack", 1);
   * ```
   *
   * Throws also VivError `guest.no-such-task`, `guest.no-init` (it still boots), and what a path leads to.
   */
  async inspect<What extends Inspection>(what: What, ...subjects: InspectionSubject<What>): Promise<Inspections[What]> {
    const [subject] = subjects as readonly (number | string)[];
    const of = typeof subject === "number" ? { pid: subject } : subject === undefined ? {} : { path: subject };
    return (await (await this.observer()).order({ kind: "inspect", what, ...of }).answer) as Inspections[What];
  }

  /** A file of the guest by its path from the root of its first process, as far as it is in memory. It is read when it is gone through. */
  readFile(path: string): GuestFile {
    return new GuestFile(path, () => this.observer());
  }

  /**
   * Samples the guest for some time; what comes of it can be reported, and written for other tools (`saveRecording`, `exportProfile`). An
   * opaque guest is profiled by address alone.
   *
   * ```ts
   * const recording = await vm.record({ seconds: 5 });
   * await saveRecording("perf.data", recording);
   * ```
   *
   * Throws also VivError `perf.options`, and `perf.busy`: somebody else records the guest, or counts its exits.
   */
  async record(options: RecordOptions): Promise<RecordedGuests> {
    const order = recordOrder(options);
    const { RecordingReader } = await import("./recording-parts.ts");
    const reader = new RecordingReader(this.#title);
    const observer = await this.observer();
    const under = observer.order({ kind: "record", ...order }, (part) => reader.take(part));
    await ended(under, options.signal);
    return reader.recording;
  }

  /**
   * One profile after the other, each of `every` seconds (2) and the last of what was left, until it is time to end or nobody asks for
   * more. Throws as `record`.
   */
  async *profiles(options: RecordOptions & { readonly every?: number }): AsyncGenerator<Profile, void, undefined> {
    const order = recordOrder(options, options.every ?? EVERY_S);
    const { RecordingReader } = await import("./recording-parts.ts");
    const profiles = new Handover<Profile>();
    const reader = new RecordingReader(this.#title, (profile) => void profiles.give(profile));
    const observer = await this.observer();
    const under = observer.order({ kind: "record", ...order }, (part) => reader.take(part));
    try {
      yield* profiles.until(ended(under, options.signal));
    } finally {
      under.stop();
      // Then somebody else may record it.
      await under.answer.catch(() => undefined);
    }
  }

  /**
   * Why the guest's vCPUs leave guest code, how often and for how many nanoseconds, and what `viv perf stat` counts beside: an opaque
   * guest's, too. Throws as `record`.
   */
  async countExits(options: WatchOptions): Promise<ExitReport> {
    const order = watchOrder(options);
    const observer = await this.observer();
    return (await ended(observer.order({ kind: "exits", ...order }), options.signal)) as ExitReport;
  }

  get #title(): string {
    return this.name ?? UNNAMED;
  }
}

/** A guest in profiles that has no name. */
export const UNNAMED = "unlisted";
const EVERY_S = 2;

/** The answer of what ends when the signal is aborted. */
async function ended({ answer, stop }: OrderUnderWay, signal: StopSignal | undefined): Promise<unknown> {
  if (!signal) return await answer;
  signal.addEventListener("abort", stop);
  try {
    if (signal.aborted) stop();
    return await answer;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
