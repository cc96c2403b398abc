/** What can be looked at in a guest: what has to be named for it, and what it gives. Plain data, fit for JSON; addresses are the guest's. */
import type { LogRecord } from "../../guest/dmesg.ts";
import type { DirectoryEntry } from "../../guest/file-tree.ts";
import type { Listing } from "../../guest/lists.ts";
import type { MemoryArea } from "../../guest/maps.ts";
import type { ModuleRow } from "../../guest/modules.ts";
import type { Mount } from "../../guest/mounts.ts";
import type { NetworkDevice } from "../../guest/network-devices.ts";
import type { OpenFile } from "../../guest/open-files.ts";
import type { Missing } from "../../guest/page-cache.ts";
import type { Socket } from "../../guest/sockets.ts";
import type { Process, Task } from "../../guest/tasks.ts";

export type {
  DirectoryEntry,
  Listing,
  LogRecord,
  MemoryArea,
  ModuleRow,
  Mount,
  NetworkDevice,
  OpenFile,
  Process,
  Socket,
  Task,
};

/** What can be listed, each with what has to be named. */
export const INSPECTIONS = {
  names: {},
  tasks: {},
  modules: {},
  maps: { pid: true },
  files: { pid: true },
  ls: { path: true },
  dmesg: {},
  stack: { pid: true },
  mounts: {},
  net: {},
} as const satisfies Record<keyof Inspections, { pid?: true; path?: true }>;
export type Inspection = keyof Inspections;
export const INSPECTION_NAMES = Object.keys(INSPECTIONS) as readonly Inspection[];

/**
 * What `inspect` gives for each word. The guest runs on while it is read: a listing's `gaps` say in words what is missing or doubtful.
 * Names, texts and numbers are the guest's own claims; whoever prints them escapes them.
 */
export interface Inspections {
  /** Kernel release and host name. */
  readonly names: KernelNames;
  /** Processes with their threads, each with its CPU time in nanoseconds; names of users by number, where /etc/passwd is in memory. */
  readonly tasks: Listing<Process> & UserNames;
  /** Kernel modules. */
  readonly modules: readonly ModuleRow[];
  /** Memory of a process, as /proc/PID/maps; empty for kernel threads. */
  readonly maps: Listing<MemoryArea>;
  /** What a process has open, by descriptor. */
  readonly files: Listing<OpenFile>;
  /** A directory, as far as the guest's kernel remembers it. */
  readonly ls: Listing<DirectoryEntry> & UserNames;
  /** The kernel's log, oldest first; times in nanoseconds since boot. */
  readonly dmesg: Listing<LogRecord>;
  /** Where each thread of a process waits; of a thread's number, that one. */
  readonly stack: readonly TaskStack[];
  readonly mounts: Listing<Mount>;
  readonly net: { readonly devices: Listing<NetworkDevice>; readonly sockets: Listing<Socket> };
}

/** What is to be named for an inspection: a process's number, or a path from the root of the guest's first process. */
export type InspectionSubject<What extends Inspection> = (typeof INSPECTIONS)[What] extends { readonly pid: true }
  ? [pid: number]
  : (typeof INSPECTIONS)[What] extends { readonly path: true }
    ? [path: string]
    : [];

export interface KernelNames {
  /** As `uname -r`. */
  readonly kernel: string;
  /** Absent where it cannot be read right now. */
  readonly hostname?: string | undefined;
}
export interface UserNames {
  /** Pairs of number and name. */
  readonly users?: readonly (readonly [uid: number, name: string])[] | undefined;
}

/** A frame of a task's stack. */
export interface StackFrame {
  readonly address: number;
  /** Absent: nobody says. */
  readonly name?: string;
  readonly offset?: number;
  /** Module, or file. */
  readonly from: string;
  readonly kernel: boolean;
}
export interface TaskStack {
  readonly tid: number;
  readonly comm: string;
  /** As in /proc/PID/stat. */
  readonly state: string;
  /** Innermost first. */
  readonly frames: readonly StackFrame[];
  /** Why it ends before its thread's start. */
  readonly truncated?: string;
}

/** Bytes of a file that are not in the guest's memory, and why. */
export interface FileHole {
  readonly offset: number;
  readonly length: number;
  readonly why: Missing;
}
