import type { IoDevice } from "../../machine/bus.ts";

/**
 * Debug exit: a guest that writes to it ends the run with a status of its choice. Ported kernels and test
 * suites know it as QEMU's isa-debug-exit, whose arithmetic this keeps: a status is odd, so that 0, which the
 * host takes for success, stays with an orderly power-off.
 */
export const debugExit = (onExit: (status: number) => void): IoDevice => ({
  name: "debug-exit",
  read: () => 0,
  write: (_offset, _size, value) => onExit(((value << 1) | 1) >>> 0),
});
