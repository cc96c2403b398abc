/**
 * What the vCPU's thread does when it does not execute guest code: told, while somebody wants to know, to whoever samples it or
 * counts its exits.
 */
export const HOST_WORK = [
  /** None: the guest's code runs. */
  "guest",
  /** The run loop: events, requests of the host, all that has no name of its own. */
  "loop",
  /** HLT, and nothing to do. */
  "halted",
  /** Instructions are decoded. */
  "decode",
  /** Code is compiled or put in place. */
  "compile",
  /** A system instruction or event that TypeScript executes; detail: its number in isa/system/operation-names.ts. */
  "operation",
  /** An interrupt or exception is delivered; detail: the vector. */
  "event",
  /** A device is accessed; detail: the port. */
  "port",
  /** The same; detail: the guest physical address. */
  "memory",
  /** Timers of devices that are due. */
  "timers",
] as const;
export type HostWorkName = (typeof HOST_WORK)[number];

/** Numbers of the above. */
export const WORK = Object.fromEntries(HOST_WORK.map((name, i) => [name, i])) as Readonly<Record<HostWorkName, number>>;

export interface HostWork {
  /** The thread begins with this, and goes on with what it did before when it is done. */
  begin(work: number, detail: number): void;
  end(): void;
}
