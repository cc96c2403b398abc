/** What a guest says of itself as a whole: names (uname), its clock (kernel/time/timekeeping.c). */
import { type Gva, gva } from "../base/index.ts";
import { tryRead } from "./lists.ts";
import type { Look } from "./look.ts";

/** __NEW_UTS_LEN and its NUL. */
const NAME_LENGTH = 65;
/** `tk_core` begins with a sequence counter, and its timekeeper is aligned to 8. */
const TIMEKEEPER = 8;
/** The year 2286: a clock beyond it is none. */
const LATEST = 1e10;
const NS = 1e9;

export interface GuestNames {
  /** The guest's host name: a label, not an identity. */
  readonly hostname: string;
  readonly system: string;
  readonly release: string;
  readonly version: string;
  readonly machine: string;
  readonly domain: string;
}

/**
 * The names of the first namespace, or of a process's (address of its task_struct). Undefined where they can not be
 * read. Throws VivError for want of types.
 */
export function readNames(look: Look, process?: Gva): GuestNames | undefined {
  const { name } = look.offsets("names", "uts_namespace", "name");
  const U = look.offsets("names", "new_utsname", "sysname", "nodename", "release", "version", "machine", "domainname");
  return tryRead(() => {
    const at = gva(namespaceOf(look, process) + name);
    const text = (offset: number) => look.text(at, NAME_LENGTH, offset);
    return {
      hostname: text(U.nodename),
      system: text(U.sysname),
      release: text(U.release),
      version: text(U.version),
      machine: text(U.machine),
      domain: text(U.domainname),
    };
  });
}

function namespaceOf(look: Look, process: Gva | undefined): Gva {
  if (process === undefined) return look.variable("names", "init_uts_ns");
  const { nsproxy } = look.offsets("names", "task_struct", "nsproxy");
  const { uts_ns } = look.offsets("names", "nsproxy", "uts_ns");
  return look.space.pointer(look.space.pointer(process, nsproxy), uts_ns);
}

export interface GuestClock {
  /** Seconds since 1970, as the kernel last reckoned them: up to a tick old, more where it sleeps. */
  readonly now: number;
  /** Seconds since 1970 when it booted. */
  readonly booted: number;
  readonly uptime: number;
}

/** The guest's clock; undefined where the kernel does not tell. Throws VivError for want of types. */
export function readClock(look: Look): GuestClock | undefined {
  const core = look.symbol("tk_core");
  if (core === undefined) return undefined;
  const T = look.offsets("the guest's clock", "timekeeper", "xtime_sec", "offs_real", "offs_boot");
  return tryRead(() => {
    const at = gva(core + TIMEKEEPER);
    const now = look.space.u64(at, T.xtime_sec);
    // Differences of clocks, in nanoseconds: doubles hold them to a microsecond.
    const booted = (look.space.pointer(at, T.offs_real) - look.space.pointer(at, T.offs_boot)) / NS;
    const uptime = now - booted;
    return now < LATEST && uptime >= 0 && booted > -LATEST ? { now, booted, uptime } : undefined;
  });
}
