/** What the monitor's own work for a guest is called in profiles and statistics. */
import type { HostWorkName } from "../../cpu/host-work.ts";
import { OPERATION_NAMES } from "../../isa/system/operation-names.ts";

/** `devices`: of the machine, by the number in `detail`. */
export function workName(work: HostWorkName, detail: number, devices: readonly string[]): string {
  switch (work) {
    case "decode":
      return "decoder";
    case "compile":
      return "compiler";
    case "operation":
      return `operation ${OPERATION_NAMES[detail] ?? detail}`;
    case "event":
      return `event ${detail}`;
    case "port":
    case "memory":
      return `device ${devices[detail] ?? "none"}`;
    case "halted":
      return "halted";
    case "timers":
      return "timers";
    default:
      return "run loop";
  }
}
