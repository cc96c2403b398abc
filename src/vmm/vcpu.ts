/**
 * One virtual processor as the machine sees it, whatever accelerator stands behind it: what it asks of the machine,
 * and how the run loop drives it.
 */
import type { HostWork } from "../cpu/host-work.ts";
import type { CpuEntry, CpuPorts, RunOutcome } from "../cpu/index.ts";
import type { SamplingPorts } from "../cpu/sampling.ts";

/** What a vCPU asks of the machine around it. */
export type VcpuPorts = CpuPorts;

/** Why a slice ended: its budget is used up or something asked for attention, HLT with nothing to take, or a triple fault. */
export type SliceEnd = RunOutcome;

export interface Vcpu {
  reset(): void;
  start(entry: CpuEntry): void;
  /** Something became pending: the running slice ends soon. */
  requestAttention(): void;
  /** The running slice ends in front of one of the next instructions. */
  requestReturn(): void;
  /** Executes up to about `budget` instructions. */
  run(budget: number): SliceEnd;
  /** Instructions retired so far. */
  readonly instructions: number;
  /** Has samples taken, or no more; absent where it cannot be watched. Between two slices. */
  sample?(ports: SamplingPorts | undefined): void;
  /** Has somebody told what the thread does for the guest, or nobody. */
  watchWork?(work: HostWork | undefined): void;
}
