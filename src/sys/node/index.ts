export { VivError } from "../../base/index.ts";
export { type WasmFeature, wasmFeatures } from "../../cpu/host-features.ts";
export type {
  Argument,
  ConsoleRequest,
  ExecOptions,
  ExecResult,
  Input,
  OutputListener,
  Progress,
  ProgressListener,
  RunningCommand,
} from "../../image/index.ts";
export type { RecordedGuests } from "../../perf/attachments.ts";
export type { Profile } from "../../perf/profile.ts";
export type { Recording } from "../../perf/recording.ts";
export {
  type Console,
  type ConsoleListener,
  type CpuStatistics,
  describeEnd,
  type MachineConfig,
  type MachineEnd,
} from "../../vmm/index.ts";
export type { GuestFile } from "../../vmm/observer/guest-file.ts";
export {
  type DirectoryEntry,
  type FileHole,
  INSPECTION_NAMES,
  type Inspection,
  type Inspections,
  type Listing,
  type LogRecord,
  type MemoryArea,
  type ModuleRow,
  type Mount,
  type NetworkDevice,
  type OpenFile,
  type Process,
  type Socket,
  type StackFrame,
  type Task,
  type TaskStack,
} from "../../vmm/observer/inspections.ts";
export type { ObservedGuest } from "../../vmm/observer/observed-guest.ts";
export type { ExitReport } from "../../vmm/observer/orders.ts";
export type { RecordEvent, RecordOptions, WatchOptions } from "../../vmm/observer/watch-options.ts";
export type { PendingRequest, RequestOptions, StreamListener, StreamSource } from "../../vmm/registry/client.ts";
export { cpuPercent, type GuestInfo, type GuestRow } from "../../vmm/registry/guest.ts";
export {
  type Attachment,
  type AttachOptions,
  type RemoteCommand,
  type RemoteExecOptions,
  RemoteVm,
} from "../../vmm/registry/remote-vm.ts";
export { CONTROL, type ControlRequest, controlRequest, type GuestEnd } from "../../vmm/registry/requests.ts";
export { type Accelerator, chooseAccelerator, kvmState } from "./accelerator.ts";
export { cacheDirectory } from "./cache-directory.ts";
export { guestPorts } from "./guest.ts";
export { exportProfile, mergeRecordings, openRecording, type ProfileFormat, saveRecording } from "./recordings.ts";
export { Terminal, type WindowSize } from "./terminal.ts";
export { Vm, type VmOptions } from "./vm.ts";
