export {
  ExecChannel,
  type ExecLines,
  type ExecOptions,
  type ExecResult,
  type OutputListener,
  type RunningCommand,
  type SerialLine,
} from "./channel.ts";
export type { Input } from "./input.ts";
export type { Argument } from "./protocol.ts";
