/**
 * Interrupt messages: what an IPI, an I/O APIC pin and an MSI have in common once they are on the way to a local APIC.
 * SDM vol. 3A 11.6 (ICR) and 11.11 (message signalled interrupts).
 */

/** Delivery modes, as encoded in the ICR, the LVT, I/O APIC entries and MSI data. */
export const DELIVERY = {
  fixed: 0,
  lowestPriority: 1,
  smi: 2,
  nmi: 4,
  init: 5,
  startUp: 6,
  extInt: 7,
} as const;

/** ICR bits 19:18. */
export const SHORTHAND = { none: 0, self: 1, all: 2, others: 3 } as const;

/** The destination that names every local APIC, whatever width the sender's destination field has. */
export const BROADCAST = 0xffffffff;

/** An 8-bit destination (xAPIC ICR, I/O APIC, MSI): 0xff is broadcast there. */
export const destination8 = (value: number): number => (value === 0xff ? BROADCAST : value);

export interface InterruptMessage {
  readonly vector: number;
  /** One of DELIVERY; other values are reserved and reach nobody. */
  readonly mode: number;
  readonly level: boolean;
  /** Destination is a logical address (LDR) rather than an APIC ID. */
  readonly logical: boolean;
  readonly destination: number;
}

/** A local APIC as the router sees it. */
export interface InterruptTarget {
  /** Whether it is among the destinations. A globally disabled APIC never is. */
  matches(destination: number, logical: boolean): boolean;
  /** Takes the message; false if it cannot (software-disabled and a fixed interrupt). */
  accept(mode: number, vector: number, level: boolean): boolean;
  /** Whether it takes fixed interrupts at all (SVR bit 8). */
  readonly enabled: boolean;
  /** Its processor priority (PPR), for lowest-priority delivery. */
  readonly priority: number;
  /** Its pins. LINT0 is wired to the 8259's INT, LINT1 to NMI. */
  lint(pin: 0 | 1, high: boolean): void;
}

/** Where level-triggered interrupts are signalled done: an I/O APIC. */
export interface EoiListener {
  eoi(vector: number): void;
}

/** The 8259 pair as a local APIC's ExtINT sees it. */
export interface ExtIntSource {
  /** The vector INTA would give now, or -1 while INT is low. */
  pending(): number;
  /** The INTA cycle: takes the interrupt and gives its vector. */
  acknowledge(): number;
}
