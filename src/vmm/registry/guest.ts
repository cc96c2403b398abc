/** What is told of a guest: by its entry in the registry, which does not change, and by its process, as it is now. */

import { VivError } from "../../base/index.ts";
import { isName, NAME_RULE } from "./names.ts";
import { choice, count, flag, number, type Of, optional, record, type Shape, text } from "./shape.ts";

export const ENTRY_VERSION = 1;

const name: Shape<string> = {
  check(value, at) {
    if (typeof value === "string" && isName(value)) return value;
    throw new VivError("control.value", `${at}: ${NAME_RULE}`);
  },
};

const ID = /^[0-9a-f]{12}$/;
/** Made anew for every guest, so that a name that is used again cannot be taken for the guest that had it before. */
const id: Shape<string> = {
  check(value, at) {
    if (typeof value === "string" && ID.test(value)) return value;
    throw new VivError("control.value", `${at} is not twelve hexadecimal digits`);
  },
};

/** The file of a guest in the registry. */
export const GUEST_ENTRY = record({
  version: count(ENTRY_VERSION),
  name,
  id,
  /** The process that runs the guest, and when the kernel started it, as /proc/PID/stat has it: both together name it for ever. */
  pid: count(),
  pidStart: optional(count()),
  /** Milliseconds since 1970. */
  created: number(0, Number.MAX_SAFE_INTEGER),
  vcpus: count(1024),
  /** Bytes. */
  memory: count(),
  accelerator: choice("software", "kvm"),
  /** Nobody may look inside. */
  opaque: flag,
});
export type GuestEntry = Of<typeof GUEST_ENTRY>;

export const GUEST_STATE = choice("booting", "running", "paused", "ended");
export type GuestState = Of<typeof GUEST_STATE>;

/** Characters of what the guest says of itself: it may say anything, at any length. */
export const MAX_CLAIM = 256;

export interface GuestClaims {
  readonly hostname?: string | undefined;
  /** `uname -r`. */
  readonly kernel?: string | undefined;
}

/** What its process tells of a guest. */
export const GUEST_INFO = record({
  state: GUEST_STATE,
  /** Milliseconds since the machine was started; pauses count. */
  uptime: number(0, Number.MAX_SAFE_INTEGER),
  /** Milliseconds of processor time that the vCPUs' threads have used since then; absent where the host does not tell. */
  cpuTime: optional(number(0, Number.MAX_SAFE_INTEGER)),
  /** The guest's claims, where somebody looks inside. */
  hostname: optional(text(MAX_CLAIM)),
  kernel: optional(text(MAX_CLAIM)),
});
export type GuestInfo = Of<typeof GUEST_INFO>;

/** One guest of a listing. A process that did not answer in time is `unresponsive`. */
export interface GuestRow extends Omit<GuestEntry, "version" | "pidStart"> {
  readonly state: GuestState | "unresponsive";
  readonly uptime: number;
  readonly cpuTime?: number | undefined;
  readonly hostname?: string | undefined;
  readonly kernel?: string | undefined;
}

/** Of one processor, since the guest was started, in percent, as ps(1) has it; undefined where it is not known. */
export const cpuPercent = ({ cpuTime, uptime }: Pick<GuestInfo, "cpuTime" | "uptime">): number | undefined =>
  cpuTime === undefined || uptime <= 0 ? undefined : (100 * cpuTime) / uptime;
