/**
 * The ISA interrupt wires. Each fans out to the 8259 pair and to the I/O APIC, so that a guest may use either.
 * The timer's IRQ 0 sits on I/O APIC pin 2, as the interrupt source override in the MADT says (ACPI 6.5, 5.2.12.5);
 * IRQ 2 is the cascade between the two 8259s and reaches no device.
 */
import type { IrqLine } from "../ports.ts";

/** An interrupt controller, as far as its input pins go. */
export interface InterruptPins {
  line(pin: number): IrqLine;
}

export const ISA_IRQS = 16;
const CASCADE_IRQ = 2;

/** The I/O APIC pin (global system interrupt) of an ISA IRQ. */
export const isaPin = (irq: number): number => (irq === 0 ? 2 : irq);

export function isaLines(pic: InterruptPins, ioApic: InterruptPins): IrqLine[] {
  return Array.from({ length: ISA_IRQS }, (_, irq) => {
    if (irq === CASCADE_IRQ) return { set: () => {} };
    const legacy = pic.line(irq);
    const apic = ioApic.line(isaPin(irq));
    return {
      set: (high) => {
        legacy.set(high);
        apic.set(high);
      },
    };
  });
}
