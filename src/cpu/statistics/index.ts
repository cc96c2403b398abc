export { CountingCpu, type CountingOptions, type CpuStatistics } from "./counting.ts";
export { sampler } from "./meter.ts";
