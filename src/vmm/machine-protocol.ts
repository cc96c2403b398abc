/** What the host's thread and the machine's tell each other in messages: once at the start, and once at the end. */
import type { CpuModel, CpuStatistics } from "../cpu/index.ts";
import type { ResolvedConfig } from "./config.ts";
import type { BootSpec, MachineEnd } from "./machine.ts";

export interface MachineStart {
  /** A HostLink's buffer. */
  readonly link: SharedArrayBuffer;
  /** The shared WebAssembly.Memory that holds guest RAM. */
  readonly memory: WebAssembly.Memory;
  readonly ramSize: number;
  readonly cpu: CpuModel;
  readonly jit: ResolvedConfig["jit"];
  readonly lockstep: number;
  readonly stats: boolean;
  readonly boot: BootSpec;
}

export type MachineMessage =
  /** The kernel is loaded; the guest runs. */
  | { readonly kind: "started"; readonly threadId?: number | undefined }
  | { readonly kind: "doorbell" }
  | { readonly kind: "ended"; readonly end: MachineEnd; readonly statistics?: CpuStatistics | undefined }
  /** A VivError, taken apart: an error's class does not survive the way between threads. */
  | { readonly kind: "failed"; readonly code: string; readonly message: string };
