/** What an observer is asked, and what it says: plain data, from thread to thread and over a guest's control socket. */
import type { ProfileInfo } from "../../perf/profile.ts";

/** What can be looked at, each with what has to be named. */
export const INSPECTIONS = {
  names: {},
  tasks: {},
  modules: {},
  maps: { pid: true },
  files: { pid: true },
  ls: { path: true },
  cat: { path: true },
  dmesg: {},
  stack: { pid: true },
  mounts: {},
  net: {},
} as const satisfies Record<string, { pid?: true; path?: true }>;
export type Inspection = keyof typeof INSPECTIONS;
export const INSPECTION_NAMES = Object.keys(INSPECTIONS) as readonly Inspection[];

export interface InspectOrder {
  readonly what: Inspection;
  readonly pid?: number | undefined;
  /** In the guest, from the root of its first process. */
  readonly path?: string | undefined;
}

export const RECORD_EVENTS = ["cpu-clock", "instructions", "off-cpu"] as const;

export interface RecordOrder {
  readonly event: ProfileInfo["event"];
  /** Nanoseconds, or instructions. */
  readonly period: number;
  readonly callGraph: boolean;
  /** Milliseconds after which what came so far is given and a new profile begun; 0: at the end only. */
  readonly every: number;
  readonly guest: {
    readonly name: string;
    readonly hostPid: number;
    readonly vcpuThreads: readonly number[];
    readonly opaque: boolean;
  };
}

/** What of a guest's memory goes with its profile. Lines end with a newline. */
export interface GuestAttachments {
  /** As /proc/kallsyms. */
  readonly kallsyms: Uint8Array;
  /** As /proc/modules. */
  readonly modules: Uint8Array;
  /** Code of the kernel and of its modules, as it is in memory. */
  readonly kernelText: readonly { readonly start: number; readonly bytes: Uint8Array }[];
  /** Programs and libraries by build-id. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** Exits of a guest, named, and what else was counted. */
export interface ExitReport {
  /** Nanoseconds that were watched. */
  readonly duration: number;
  readonly exits: readonly {
    readonly reason: string;
    readonly count: number;
    readonly time: number;
    readonly min: number;
    readonly max: number;
    readonly squares: number;
    readonly histogram: readonly number[];
  }[];
  readonly counters: readonly { readonly name: string; readonly value: number }[];
}

/** What an observer is told to do. */
export type ObserverOrder =
  | ({ readonly kind: "inspect" } & InspectOrder)
  | { readonly kind: "cat"; readonly path: string }
  | ({ readonly kind: "record" } & RecordOrder)
  | { readonly kind: "exits" };

/** A piece of what it finds, before the answer. */
export interface ObserverPart {
  readonly name: string;
  readonly about?: object;
  readonly bytes: Uint8Array;
}

export interface OrderUnderWay {
  /** Settles when all parts were taken. Rejects with a VivError. */
  readonly answer: Promise<unknown>;
  /** That is enough: what records or counts ends. */
  stop(): void;
}

/** The thread that looks into a guest, as the host's other threads have it. */
export interface GuestObserver {
  order(order: ObserverOrder, onPart?: (part: ObserverPart) => Promise<void> | void): OrderUnderWay;
}
