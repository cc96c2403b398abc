/** Where guest RAM lies in the guest physical map: what the CPU translates to, and what the machine lays out. */
import { GiB } from "./units.ts";

/**
 * Where RAM ends below 4 GiB. From here to 4 GiB lie PCI memory, the I/O APIC, HPET and local APIC;
 * RAM beyond this size continues at 4 GiB, as on every PC.
 */
export const LOW_RAM_END = 3 * GiB;
export const HIGH_RAM_START = 4 * GiB;
