/** What an observer is asked, and what it says: plain data, from thread to thread and over a guest's control socket. */
import type { ProfileGuest, ProfileInfo } from "../../perf/profile.ts";
import type { StatReport } from "../../perf/report/stat.ts";
import type { Inspection } from "./inspections.ts";

export interface InspectOrder<What extends Inspection = Inspection> {
  readonly what: What;
  readonly pid?: number | undefined;
  /** In the guest, from the root of its first process. */
  readonly path?: string | undefined;
}

/** How long is watched: until the word is said, and no longer than this. */
export interface WatchOrder {
  readonly seconds?: number | undefined;
}

export interface RecordOrder extends WatchOrder {
  readonly event: ProfileInfo["event"];
  /** Nanoseconds, or instructions. */
  readonly period: number;
  readonly callGraph: boolean;
  /** Milliseconds after which what came so far is given and a new profile begun; 0: at the end only. */
  readonly every: number;
}

/** What a profile says of the guest beside what is found inside. */
export type WatchedGuest = Pick<ProfileGuest, "name" | "hostPid" | "vcpuThreads" | "opaque">;

/** Exits of a guest by reason, named, with their times in nanoseconds, and what else was counted. */
export type ExitReport = Pick<StatReport, "duration" | "exits" | "counters">;

/** What an observer is told to do. */
export type ObserverOrder =
  | ({ readonly kind: "inspect" } & InspectOrder)
  | { readonly kind: "cat"; readonly path: string }
  | ({ readonly kind: "record" } & RecordOrder)
  | ({ readonly kind: "exits" } & WatchOrder);

/** A piece of what it finds, before the answer. */
export interface ObserverPart {
  readonly name: string;
  readonly about?: Readonly<Record<string, unknown>>;
  readonly bytes: Uint8Array;
}

/** Takes parts, one after the other: what has not settled holds up the next. */
export type PartListener = (part: ObserverPart) => Promise<void> | void;

export interface OrderUnderWay {
  /** Settles when all parts were taken. Rejects with a VivError. */
  readonly answer: Promise<unknown>;
  /** That is enough: what records or counts ends, and what is read is not read on. */
  stop(): void;
}

/** The thread that looks into a guest, of this process or of another. */
export interface GuestObserver {
  order(order: ObserverOrder, onPart?: PartListener): OrderUnderWay;
}
