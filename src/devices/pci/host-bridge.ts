import type { RegisterTable } from "../../machine/registers.ts";
import { PciFunction } from "./function.ts";

/**
 * Intel 82441FX (440FX) host bridge, PCI 00:00.0. Chosen over the later Q35: it asks for configuration
 * mechanism #1 only, where a Q35's drivers look for memory-mapped configuration and an ICH9 beside it.
 * The memory attribute and SMM registers keep what is written and change nothing: RAM is always there.
 */
const REGISTERS = {
  pam0: { offset: 0x59, access: "rw" },
  pam1: { offset: 0x5a, access: "rw" },
  pam2: { offset: 0x5b, access: "rw" },
  pam3: { offset: 0x5c, access: "rw" },
  pam4: { offset: 0x5d, access: "rw" },
  pam5: { offset: 0x5e, access: "rw" },
  pam6: { offset: 0x5f, access: "rw" },
  smram: { offset: 0x72, access: "rw", reset: 0x02 },
} as const satisfies RegisterTable;

export const hostBridge = (): PciFunction =>
  new PciFunction({
    name: "host-bridge",
    vendorId: 0x8086,
    deviceId: 0x1237,
    classCode: 0x060000,
    revision: 2,
    registers: REGISTERS,
  });
