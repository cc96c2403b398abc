export { Cpu, type CpuOptions, type RunOutcome } from "./cpu.ts";
export { LockstepCpu, type LockstepOptions } from "./lockstep/index.ts";
export { memoryPages } from "./memory-map.ts";
export type { CpuModel } from "./models.ts";
export type { ApicPort, CpuPorts, PortSize } from "./ports.ts";
export type { CpuSnapshot } from "./snapshot.ts";
export { type EnginePart, type GeneratedParts, generateInterpreter, software } from "./software.ts";
export type { CpuEntry } from "./start.ts";
export { CountingCpu, type CountingOptions, type CpuStatistics } from "./statistics/index.ts";
