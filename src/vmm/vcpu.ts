/**
 * One virtual processor as the machine sees it, whatever accelerator stands behind it: what it asks of the machine,
 * and how the run loop drives it.
 */
import type { CpuEntry, CpuPorts, RunOutcome } from "../cpu/index.ts";

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
}
