import type { CpuPorts } from "../ports.ts";
import type { SystemContext } from "./access.ts";

/** What operations need beyond segments and memory. */
export interface CpuContext extends SystemContext {
  readonly ports: CpuPorts;
  readonly features: ReadonlySet<string>;
  /** Processor brand string, up to 47 characters. */
  readonly brand: string;
  /** Initial APIC id. */
  readonly id: number;
  /** MSRs that are plain storage, by index. */
  readonly msrs: Map<number, bigint>;
  /** What TSC reads add to the machine's clock. */
  tscOffset: bigint;
  /** Writes guest physical memory (for paravirtual structures); false where there is no RAM. */
  writePhysical(gpa: bigint, bytes: Uint8Array): boolean;
}
