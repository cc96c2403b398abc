/** How a guest is to be watched: what users say, with its limits, as the order it becomes. */
import { VivError } from "../../base/index.ts";
import type { ProfileInfo } from "../../perf/profile.ts";
import type { RecordOrder, WatchOrder } from "./orders.ts";

export type RecordEvent = ProfileInfo["event"];

interface Rate {
  /** Where nothing is said. */
  readonly usual: number;
  readonly least: number;
  readonly most: number;
}
/** As perf's own examples have it: no multiple of the guest's timer. */
const PER_SECOND = { usual: 999, least: 1, most: 10_000 } as const satisfies Rate;

/** What can be sampled by, and how often: so many samples a second, or one in so many instructions. */
export const RECORD_EVENTS = {
  "cpu-clock": { frequency: PER_SECOND },
  instructions: { period: { usual: 1_000_000, least: 10_000, most: 1e9 } },
  // Waiting tasks do not move much.
  "off-cpu": { frequency: { ...PER_SECOND, usual: 19 } },
} as const satisfies Record<RecordEvent, { readonly frequency: Rate } | { readonly period: Rate }>;
export const RECORD_EVENT_NAMES = Object.keys(RECORD_EVENTS) as readonly RecordEvent[];

/** Seconds that are watched: a day. */
export const WATCH_SECONDS = { least: 0.001, most: 86_400 } as const;

const NS_PER_S = 1e9;
const MS_PER_S = 1e3;

/** An AbortSignal, as far as it is needed. */
export interface StopSignal {
  readonly aborted: boolean;
  addEventListener(type: "abort", listener: () => void): void;
  removeEventListener(type: "abort", listener: () => void): void;
}

/** When watching ends: after so many seconds, or when the signal is aborted, which is no failure: what was seen until then is given. */
export interface WatchOptions {
  /** 0.001 to 86,400. */
  readonly seconds?: number | undefined;
  /** An AbortSignal. */
  readonly signal?: StopSignal | undefined;
}

export interface RecordOptions extends WatchOptions {
  /**
   * What is sampled by: `cpu-clock`, time in which the vCPU runs or the host works for it (where nothing is said); `instructions` of the
   * guest; `off-cpu`, where its sleeping tasks wait.
   */
  readonly event?: RecordEvent | undefined;
  /** Samples a second, 1 to 10,000; 999 where nothing is said, off-CPU 19. Not with `instructions`. */
  readonly frequency?: number | undefined;
  /** With `instructions`: from one sample to the next, 10,000 to 1e9; a million where nothing is said. */
  readonly period?: number | undefined;
  /** With all callers, as it is where nothing is said. */
  readonly callGraph?: boolean | undefined;
}

const wrong = (message: string): VivError => new VivError("perf.options", message);

function inRange(what: string, value: number, { least, most }: { readonly least: number; readonly most: number }) {
  if (value >= least && value <= most) return value;
  throw wrong(`${what} ${value} is out of range: give ${least} to ${most}`);
}

/** Throws VivError `perf.options`. */
export function watchOrder({ seconds, signal }: WatchOptions): WatchOrder {
  if (seconds === undefined && signal === undefined) {
    throw wrong("nothing says when watching ends: give seconds, or an AbortSignal as signal");
  }
  return seconds === undefined ? {} : { seconds: inRange("seconds", seconds, WATCH_SECONDS) };
}

/** `every`: seconds after which a profile is given and the next begun; 0: there is one. Throws VivError `perf.options`. */
export function recordOrder(options: RecordOptions, every = 0): RecordOrder {
  const { event = "cpu-clock", frequency, period, callGraph = true } = options;
  const rates: { readonly frequency?: Rate; readonly period?: Rate } = RECORD_EVENTS[event];
  const take = (name: "frequency" | "period", value: number | undefined): number | undefined => {
    const rate = rates[name];
    if (rate) return inRange(name, value ?? rate.usual, rate);
    if (value === undefined) return undefined;
    throw wrong(`${event} is not sampled by ${name}: give ${name === "period" ? "frequency" : "period"}`);
  };
  const [perSecond, distance] = [take("frequency", frequency), take("period", period)];
  if (every !== 0) inRange("every", every, WATCH_SECONDS);
  return {
    ...watchOrder(options),
    event,
    period: distance ?? NS_PER_S / (perSecond ?? 1),
    callGraph,
    every: every * MS_PER_S,
  };
}
