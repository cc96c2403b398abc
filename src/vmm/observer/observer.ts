/**
 * Looks into a guest for whoever may: its lists, its stacks, its profile. Lives on a thread of its own and shares the machine's memory; the
 * machine does not wait for it.
 */
import { VivError } from "../../base/index.ts";
import type { Profile, ProfileInfo } from "../../perf/profile.ts";
import { Ticker } from "../sampling/ticker.ts";
import { attachmentsOf, type RecordedMemory } from "./attachments.ts";
import type { DebugFiles } from "./code-files.ts";
import { exitReport, pageWalks } from "./exit-report.ts";
import { GuestView } from "./guest-view.ts";
import { inspect, readGuestFile } from "./inspect.ts";
import type { FileHole, Inspection, Inspections } from "./inspections.ts";
import type { ExitReport, InspectOrder, RecordOrder, WatchedGuest, WatchOrder } from "./orders.ts";
import { Recorder } from "./recorder.ts";

export interface ObserverStart {
  readonly memory: WebAssembly.Memory;
  readonly ramSize: number;
  /** Of the machine's HostLink. */
  readonly link: SharedArrayBuffer;
  readonly guest: WatchedGuest;
}

/** The observer's own thread. */
export interface ObserverHost {
  /** Nanoseconds of a monotonic clock. */
  now(): number;
  /** Milliseconds since 1970. */
  wallTime(): number;
  /** Settles after about so many milliseconds, and lets orders in meanwhile. */
  pause(milliseconds: number): Promise<void>;
  /** Stops the thread for so many milliseconds, to the microsecond. */
  sleep(milliseconds: number): void;
  /** Debug information that the host has. */
  readonly debugFiles?: DebugFiles;
  /** What of the host a profile says. */
  readonly about: Pick<ProfileInfo, "hostname" | "hostKernel" | "cpu" | "cpus" | "version">;
}

/**
 * How often what was sampled is worked on, and orders are let in: many at a time, for what that takes is neither in caches nor compiled well if
 * it is done a thousand times a second. It runs beside the guest, but on the same host.
 */
const BATCH_NS = 8e6;
/** How often waiting tasks are looked at for an off-CPU profile, at most: each look reads all their stacks. */
const LEAST_OFF_CPU_MS = 10;
const NS_PER_MS = 1e6;
const NS_PER_S = 1e9;
const MS_PER_S = 1e3;
/** A machine that runs looks every half a millisecond. */
const PATIENCE_MS = 200;

const opaque = (): VivError =>
  new VivError(
    "guest.opaque",
    "this guest was started with --opaque: nobody may look inside; it can be profiled by address",
  );

export class Observer {
  readonly #start: ObserverStart;
  readonly #host: ObserverHost;
  readonly #view: GuestView;
  readonly #ticker: Ticker;
  /** Somebody records or counts: the machine has one sample area. */
  #busy = false;

  get #opaque(): boolean {
    return this.#start.guest.opaque;
  }

  constructor(start: ObserverStart, host: ObserverHost) {
    this.#start = start;
    this.#host = host;
    this.#view = new GuestView(start);
    this.#ticker = new Ticker(start);
  }

  /** What the order asks for, fit for JSON. Throws VivError. */
  inspect<What extends Inspection>(order: InspectOrder<What>): Inspections[What] {
    if (this.#opaque) throw opaque();
    return inspect(this.#view, order, this.#host.debugFiles);
  }

  /** Throws VivError. */
  readFile(path: string, onHole: (hole: FileHole) => void): Iterable<Uint8Array> {
    if (this.#opaque) throw opaque();
    return readGuestFile(this.#view, path, onHole);
  }

  /**
   * Samples until `stop` settles, or as long as the order says. `give` takes the profile, or with `every` one after the other; what of the
   * guest's memory goes with it comes with the last. Throws VivError.
   */
  record(
    order: RecordOrder,
    stop: Promise<void>,
    give: (profile: Profile, memory: RecordedMemory | undefined) => Promise<void>,
  ): Promise<void> {
    return this.#alone(async () => {
      const { event, period, seconds = Number.POSITIVE_INFINITY } = order;
      if (event === "off-cpu" && this.#opaque) throw opaque();
      let over = false;
      let wake = (): void => undefined;
      void stop.then(() => {
        over = true;
        wake();
      });
      const clocked = event === "cpu-clock";
      const sampled = event !== "off-cpu";
      const make = () =>
        new Recorder({
          view: this.#view,
          area: this.#ticker.area,
          guest: this.#start.guest,
          tick: clocked ? period : undefined,
          flat: !order.callGraph,
          debugFiles: this.#host.debugFiles,
        });
      let recorder = make();
      if (sampled) this.#ticker.start({ period: clocked ? 0 : period });
      try {
        const begun = this.#host.now();
        const end = begun + seconds * NS_PER_S;
        let since = begun;
        let startedAt = this.#host.wallTime();
        let next = begun;
        let taken = begun;
        for (let now = begun; !over && now < end; now = this.#host.now()) {
          if (sampled) {
            if (clocked && now >= next) this.#ticker.tick();
            recorder.meet(now);
          } else recorder.takeWaiting(now - since, period, now);
          // What was missed is not made up for: the ticks of a moment would all see the same.
          next = Math.max(next + this.#distance(order), now);
          const left = (): number => (Math.min(next, end) - this.#host.now()) / NS_PER_MS;
          if (sampled) {
            if (now - taken < BATCH_NS && !recorder.full) {
              this.#host.sleep(left());
              continue;
            }
            recorder.take(now);
            taken = now;
          }
          // Not Promise.race, which would leave something with `stop` each time.
          await new Promise<void>((resolve) => {
            wake = resolve;
            void this.#host.pause(left()).then(resolve);
          });
          if (order.every === 0 || this.#host.now() - since < order.every * NS_PER_MS) continue;
          await give(recorder.finish(this.#info(order, startedAt, since)), undefined);
          recorder = make();
          since = this.#host.now();
          startedAt = this.#host.wallTime();
        }
        if (sampled) {
          await this.#stopped();
          recorder.take(this.#host.now());
        }
        const profile = recorder.finish(this.#info(order, startedAt, since));
        const kernel = this.#opaque ? undefined : this.#view.kernel();
        await give(profile, order.every === 0 ? attachmentsOf(kernel, recorder.files.whole) : undefined);
      } finally {
        this.#ticker.stop();
      }
    });
  }

  /** Counts exits until `stop` settles, or as long as the order says. Throws VivError. */
  count({ seconds }: WatchOrder, stop: Promise<void>): Promise<ExitReport> {
    return this.#alone(async () => {
      const begun = this.#host.now();
      const before = pageWalks(this.#start.memory);
      this.#ticker.start({ exits: true });
      try {
        await (seconds === undefined ? stop : Promise.race([stop, this.#host.pause(seconds * MS_PER_S)]));
      } finally {
        await this.#stopped();
      }
      const { area, exits } = this.#ticker;
      const walks = pageWalks(this.#start.memory) - before;
      return exitReport(exits, area.devices, this.#host.now() - begun, area.number("retired"), walks);
    });
  }

  /** Ends watching; settles when the machine has noticed, which a paused one does later. */
  async #stopped(): Promise<void> {
    this.#ticker.stop();
    const until = this.#host.now() + PATIENCE_MS * NS_PER_MS;
    while (this.#ticker.begun && this.#host.now() < until) await this.#host.pause(1);
  }

  async #alone<T>(work: () => Promise<T>): Promise<T> {
    if (this.#busy) {
      throw new VivError(
        "perf.busy",
        "somebody else records this guest, or counts its exits, right now: try again when they are done",
      );
    }
    this.#busy = true;
    try {
      return await work();
    } finally {
      this.#busy = false;
    }
  }

  /** Nanoseconds to the next tick: not always the same, so that nothing in the guest can keep step. */
  #distance({ event, period }: RecordOrder): number {
    if (event === "instructions") return NS_PER_MS;
    if (event === "off-cpu") return Math.max(period, LEAST_OFF_CPU_MS * NS_PER_MS);
    return period * (0.75 + 0.5 * Math.random());
  }

  #info({ event, period }: RecordOrder, startedAt: number, since: number): ProfileInfo {
    return {
      event,
      unit: event === "instructions" ? "instructions" : "ns",
      period,
      startedAt,
      duration: this.#host.now() - since,
      command: [],
      lost: this.#ticker.area.get("lost"),
      ...this.#host.about,
    };
  }
}
