export { VivError } from "../../base/index.ts";
export {
  type Console,
  type ConsoleListener,
  type CpuStatistics,
  describeEnd,
  type MachineConfig,
  type MachineEnd,
} from "../../vmm/index.ts";
export { requireBrowser } from "./requirements.ts";
export { Vm, type VmOptions } from "./vm.ts";
