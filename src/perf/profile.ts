/**
 * The profile: what every recording ends as, and every report and file format begins with. Columns of numbers that refer to each
 * other by index; stacks are a tree, each one a frame and the stack that called it, so that a million samples are small.
 *
 * Names in it are the guests' own claims. They are raw: whoever shows them escapes them.
 */

/** Where the vCPU was. `host`: in Vivarium itself on the guest's behalf; `idle`: nowhere, a task that sleeps (off-CPU profiles). */
export const MODES = ["guest.kernel", "guest.user", "host", "idle"] as const;
export type Mode = (typeof MODES)[number];

export interface ProfileGuest {
  readonly name: string;
  /** Process that runs it on the host: perf's machine_pid. */
  readonly hostPid: number;
  /** Threads of its vCPUs on the host, by vCPU number. */
  readonly vcpuThreads: readonly number[];
  /** Its claims; absent where nothing was found inside, or it may not be looked into. */
  readonly hostname?: string;
  readonly kernelRelease?: string;
  readonly kernelBuildId?: string;
  readonly opaque: boolean;
}

/** What code came from. `label` is a frame without code: a device, a phase of the host's work. */
export type DsoKind = "kernel" | "module" | "user" | "vdso" | "jit" | "host" | "label" | "unknown";

export interface ProfileDso {
  readonly kind: DsoKind;
  /** Index of the guest it is in; -1 the host. */
  readonly guest: number;
  /** Path in the guest, module's name, `[kernel.kallsyms]`, `[vdso]`, … */
  readonly name: string;
  /** 40 hexadecimal digits. */
  readonly buildId?: string;
}

export interface ProfileSymbol {
  readonly name: string;
  /** Index of its DSO. */
  readonly dso: number;
  /** In the DSO: of the file for `user`, as in ELF; a guest virtual address for `kernel` and `module`. */
  readonly start: number;
  /** Bytes, 0 where unknown. */
  readonly size: number;
}

/** A process or thread of a guest while it bore one name. A vCPU of an opaque guest is a task with pid 0. */
export interface ProfileTask {
  readonly guest: number;
  readonly pid: number;
  readonly tid: number;
  readonly comm: string;
}

/** A mapping of a guest's process, for what has to place addresses in files again. */
export interface ProfileMapping {
  readonly guest: number;
  readonly pid: number;
  readonly start: number;
  readonly length: number;
  readonly pageOffset: number;
  readonly dso: number;
  /** PROT_READ 1, PROT_WRITE 2, PROT_EXEC 4. */
  readonly protection: number;
}

/** Text of a guest's kernel: where its symbols lie, and those of its modules. */
export interface ProfileKernelMap {
  readonly dso: number;
  /** Guest virtual addresses, sign-extended. */
  readonly start: number;
  readonly length: number;
}

/** An address that samples saw, with what is known of it. Index -1: unknown. */
export interface FrameColumns {
  /** Guest virtual address, sign-extended; of a host or label frame 0. */
  readonly address: Float64Array;
  /** Address in the DSO, as `ProfileSymbol.start`. */
  readonly offset: Float64Array;
  readonly dso: Int32Array;
  readonly symbol: Int32Array;
  /** Index into MODES. */
  readonly mode: Int32Array;
}

export interface StackColumns {
  /** The caller's stack; -1 at the thread's start. Always below the stack's own index. */
  readonly caller: Int32Array;
  readonly frame: Int32Array;
}

export interface SampleColumns {
  /** Nanoseconds since the recording began, ascending within a vCPU. */
  readonly time: Float64Array;
  /** -1: no stack at all. */
  readonly stack: Int32Array;
  readonly task: Int32Array;
  readonly vcpu: Int32Array;
  readonly mode: Int32Array;
  /** In `ProfileInfo.unit`, whole. */
  readonly weight: Float64Array;
}

export interface ProfileInfo {
  /** What was sampled by. */
  readonly event: "cpu-clock" | "instructions" | "off-cpu";
  readonly unit: "ns" | "instructions";
  /** Between two samples, in `unit`. */
  readonly period: number;
  /** Milliseconds since 1970 when it began. */
  readonly startedAt: number;
  /** Nanoseconds. */
  readonly duration: number;
  readonly hostname: string;
  readonly hostKernel: string;
  readonly cpu: string;
  readonly cpus: number;
  /** The command line that recorded it. */
  readonly command: readonly string[];
  readonly version: string;
  /** Samples that were due and could not be taken. */
  readonly lost: number;
}

export interface Profile {
  readonly info: ProfileInfo;
  readonly guests: readonly ProfileGuest[];
  readonly dsos: readonly ProfileDso[];
  readonly symbols: readonly ProfileSymbol[];
  readonly tasks: readonly ProfileTask[];
  readonly mappings: readonly ProfileMapping[];
  readonly kernelMaps: readonly ProfileKernelMap[];
  readonly frames: FrameColumns;
  readonly stacks: StackColumns;
  readonly samples: SampleColumns;
}
