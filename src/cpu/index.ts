export { Cpu, type CpuOptions, memoryPages, type RunOutcome } from "./cpu.ts";
export { CPU_MODELS, type CpuModel } from "./cpuid.ts";
export { type WasmFeature, wasmFeatures } from "./host-features.ts";
export { LockstepCpu, type LockstepOptions } from "./lockstep/index.ts";
export type { ApicPort, CpuPorts, PortSize } from "./ports.ts";
export type { CpuSnapshot } from "./snapshot.ts";
export { type EnginePart, type GeneratedParts, generateInterpreter, software } from "./software.ts";
export type { CpuEntry } from "./start.ts";
export { CountingCpu, type CountingOptions, type CpuStatistics, sampler } from "./statistics/index.ts";
