/** What the host's thread needs. A machine's own thread takes `machine-worker.ts`, which draws in the CPU and all devices. */
export type { CpuStatistics } from "../cpu/index.ts";
export { sampler } from "../cpu/statistics/place.ts";
export { bootDefaultGuest, bootOwnKernel } from "./boot-spec.ts";
export * from "./config.ts";
export { Console, type ConsoleListener } from "./console.ts";
export { createGuestMemory, guestRam } from "./guest-memory.ts";
export type { BootSpec, MachineEnd } from "./machine.ts";
export { MachineHandle, ownBuffers } from "./machine-handle.ts";
export type { MachineMessage, MachineStart } from "./machine-protocol.ts";
export { nearest } from "./nearest.ts";
export { describeEnd, type MachineThread, VirtualMachine, type VirtualMachineOptions } from "./virtual-machine.ts";
