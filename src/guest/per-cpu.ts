/**
 * Per-CPU variables (include/linux/percpu-defs.h, arch/x86/include/asm/percpu.h): each CPU has its own copy, at the symbol's address plus
 * `__per_cpu_offset[cpu]`, which the kernel keeps in GS base while it runs and in the other GS base while user code does.
 */
import { type Gva, gva } from "../base/index.ts";
import type { ControlRegisters, Kernel } from "./kernel.ts";
import { Unreadable } from "./memory.ts";

/** NR_CPUS of the largest configuration. Stops a count that is none. */
const MAX_CPUS = 8192;
const USER = 3;

export interface PerCpuArea {
  /** The kernel's number of the CPU. */
  readonly cpu: number;
  /** What is added to the address of a symbol. */
  readonly offset: Gva;
}

/** Where the per-CPU variables of this vCPU are. Undefined while the kernel has not set it up. Throws Unreadable. */
export function perCpuArea({ symbols, space }: Kernel, registers: ControlRegisters): PerCpuArea | undefined {
  const table = symbols.address("__per_cpu_offset");
  // A kernel for one processor has variables like any other.
  if (table === undefined)
    return symbols.address("setup_per_cpu_areas") === undefined ? undefined : { cpu: 0, offset: gva(0) };
  const counter = symbols.address("nr_cpu_ids");
  const count = counter === undefined ? MAX_CPUS : Math.min(space.u32(counter), MAX_CPUS);
  const { gsBase, kernelGsBase, cpl } = registers;
  // User code chooses its own GS base, and may choose what looks like a kernel's.
  for (const offset of cpl === USER ? [kernelGsBase] : [gsBase, kernelGsBase]) {
    for (let cpu = 0; cpu < count && offset !== 0; cpu++) {
      if (space.translate(table, 8 * cpu) < 0) break;
      if (space.pointer(table, 8 * cpu) === offset) return { cpu, offset };
    }
  }
  return undefined;
}

/**
 * The address of a per-CPU variable on this vCPU; undefined where there is no such symbol, or no per-CPU area yet. Exact where it is a
 * multiple of 8, as AddressSpace says. Throws Unreadable.
 */
export function perCpu(kernel: Kernel, symbol: string, registers: ControlRegisters): Gva | undefined {
  const address = kernel.symbols.address(symbol);
  const area = address === undefined ? undefined : perCpuArea(kernel, registers);
  return area && gva(area.offset + address!);
}

/** The task_struct that runs on a vCPU; undefined where that cannot be told. Throws Unreadable. */
export function currentTask(kernel: Kernel, registers: ControlRegisters): Gva | undefined {
  let at = perCpu(kernel, "current_task", registers);
  if (at === undefined) {
    // From 6.2 to 6.14 it is a member of one hot cache line.
    const hot = perCpu(kernel, "pcpu_hot", registers);
    const offset = kernel.types?.offsetOf("pcpu_hot", "current_task") ?? 0;
    if (hot === undefined) return undefined;
    at = gva(hot + offset);
  }
  if (kernel.space.translate(at) < 0) throw new Unreadable("the per-CPU area of a vCPU is not mapped");
  const task = kernel.space.pointer(at);
  return task === 0 ? undefined : task;
}
