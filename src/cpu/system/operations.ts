/** The operations rows ask for by number (isa/system/operation-names.ts). */
import { OPERATION_NAMES, type OperationName } from "../../isa/system/operation-names.ts";
import type { CpuContext } from "./context.ts";
import * as control from "./control.ts";
import { rdmsr, wrmsr } from "./msr.ts";
import { TRANSFER_OPERATIONS } from "./transfer-operations.ts";

export type Operation = (c: CpuContext) => void;

const BY_NAME: Partial<Record<OperationName, Operation>> = {
  ...TRANSFER_OPERATIONS,
  cpuid: control.executeCpuid,
  rdmsr,
  wrmsr,
  read_control: control.readControl,
  write_control: control.writeControl,
  read_debug: control.readDebug,
  write_debug: control.writeDebug,
  lmsw: control.lmsw,
  xsetbv: control.xsetbv,
  io_permission: control.ioPermission,
  check_base: control.checkBase,
  rdpmc: control.rdpmc,
  invpcid: control.invpcid,
  sysenter: control.sysenter,
  sysexit: control.sysexit,
  hypercall: control.hypercall,
};

/** In the order of their numbers. */
export const OPERATIONS: readonly (Operation | undefined)[] = OPERATION_NAMES.map((name) => BY_NAME[name]);
