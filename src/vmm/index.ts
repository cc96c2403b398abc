export * from "./config.ts";
export { Console, type ConsoleListener } from "./console.ts";
export { HostLink, MachineLink } from "./link.ts";
export { type BootSpec, Machine, type MachineEnd, type MachineOptions } from "./machine.ts";
export { nearest } from "./nearest.ts";
export type { SliceEnd, Vcpu, VcpuPorts } from "./vcpu.ts";
export { describeEnd, type MachineThread, VirtualMachine, type VirtualMachineOptions } from "./virtual-machine.ts";
