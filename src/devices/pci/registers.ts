/** PCI configuration: PCI Local Bus Specification 3.0, section 6.1 and 3.2.2.3.2 (mechanism #1). */
import type { RegisterTable } from "../../machine/registers.ts";

export const CONFIG_SPACE_SIZE = 256;
/** Functions of one device. */
export const PCI_FUNCTIONS = 8;
export const BAR_COUNT = 6;

/** The header of an ordinary function (type 0). Base address registers are added from the function's list. */
export const TYPE0_HEADER = {
  vendorId: { offset: 0x00, width: 2, access: "r" },
  deviceId: { offset: 0x02, width: 2, access: "r" },
  command: { offset: 0x04, width: 2, access: "rw", writable: 0x0547 },
  status: { offset: 0x06, width: 2, access: "r" },
  revision: { offset: 0x08, access: "r" },
  programmingInterface: { offset: 0x09, access: "r" },
  subclass: { offset: 0x0a, access: "r" },
  baseClass: { offset: 0x0b, access: "r" },
  cacheLineSize: { offset: 0x0c, access: "rw" },
  latencyTimer: { offset: 0x0d, access: "rw" },
  headerType: { offset: 0x0e, access: "r" },
  selfTest: { offset: 0x0f, access: "r" },
  subsystemVendorId: { offset: 0x2c, width: 2, access: "r" },
  subsystemId: { offset: 0x2e, width: 2, access: "r" },
  capabilities: { offset: 0x34, access: "r" },
  interruptLine: { offset: 0x3c, access: "rw" },
  interruptPin: { offset: 0x3d, access: "r" },
} as const satisfies RegisterTable;

export const BAR0_OFFSET = 0x10;

/** Command register bits. */
export const COMMAND = { IO: 0x0001, MEMORY: 0x0002, INTX_DISABLE: 0x0400 } as const;
/** Status register bits. */
export const STATUS = { INTERRUPT: 0x0008, CAPABILITIES: 0x0010 } as const;
/** Header type bit: the device has more functions than function 0. */
export const MULTIFUNCTION = 0x80;
/** Low bits of a base address register (6.2.5.1). */
export const BAR = { IO: 0x1, MEMORY64: 0x4, PREFETCHABLE: 0x8 } as const;

/** CONFIG_ADDRESS, port 0xcf8. */
export const CONFIG_ADDRESS_ENABLE = 0x80000000;
export const CONFIG_ADDRESS_BITS = 0x80fffffc;
