/** The ports of a vCPU: devices, time, randomness, its local APIC. */
export type PortSize = 1 | 2 | 4;

/** The local APIC as the CPU sees it. */
export interface ApicPort {
  /** Vector the vCPU would take now if interrupts were enabled, -1 for none. */
  pending(): number;
  /** Takes it. */
  acknowledge(): number;
  takeNmi(): boolean;
  /** x2APIC registers: the low half, -1 for #GP; the high half; a write that is false is #GP. */
  readMsr(index: number): number;
  readMsrHigh(index: number): number;
  writeMsr(index: number, low: number, high: number): boolean;
  /** IA32_APIC_BASE. */
  readonly apicBaseLow: number;
  readonly apicBaseHigh: number;
  writeApicBase(low: number, high: number): boolean;
  /** CR8, 0-15. */
  cr8: number;
  /** Deadline on the machine's clock in nanoseconds, 0 when unarmed. */
  readonly tscDeadline: number;
  setTscDeadline(deadline: number): void;
}

export interface CpuPorts {
  portRead(port: number, size: PortSize): number;
  portWrite(port: number, size: PortSize, value: number): void;
  mmioRead(gpa: number, size: PortSize): number;
  mmioWrite(gpa: number, size: PortSize, value: number): void;
  /** Nanoseconds on the machine's clock: the time-stamp counter counts them. */
  tsc(): number;
  /** Milliseconds since 1970 of the machine's wall clock, for kvm-clock. */
  wallTime(): number;
  random(into: Uint8Array): void;
  readonly apic: ApicPort;
}
