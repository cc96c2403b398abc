export { CountingCpu, type CountingOptions, type CpuStatistics } from "./counting.ts";
