/** What the machine's thread has to know of a guest's kernel to copy, with each sample, what is known of the task. */
import { type Gva, gva } from "../../base/index.ts";
import type { LinuxKernel } from "../../guest/linux-kernel.ts";
import { tryRead } from "../../guest/lists.ts";
import { perCpu } from "../../guest/per-cpu.ts";
import type { SampleArea } from "../sampling/area.ts";
import type { GuestView } from "./guest-view.ts";

/**
 * Members of task_struct and per-CPU variables that the machine's thread copies with each sample. False where they cannot be told, now: the
 * vCPU runs while its registers are read, and GS base and CPL may be of two moments.
 */
export function tellMachine(area: SampleArea, view: GuestView): boolean {
  const kernel = view.kernel();
  const { types } = kernel;
  const member = (name: string): number => types?.offsetOf("task_struct", name) ?? -1;
  const [pid, tgid, comm] = [member("pid"), member("tgid"), member("comm")];
  if (pid < 0 || tgid < 0 || comm < 0) return false;
  const variables = perCpuAddresses(view);
  if (!variables) return false;
  area.set("taskPid", pid);
  area.set("taskTgid", tgid);
  area.set("taskComm", comm);
  area.set("rootBits", usesPti(kernel) ? 13 : 12);
  area.setAddress("currentTask", variables.current);
  area.setAddress("topOfStack", variables.top ?? gva(0));
  return true;
}

/** X86_FEATURE_PTI (arch/x86/include/asm/cpufeatures.h). */
const PTI = { word: 7, bit: 11 } as const;

/** Under page-table isolation a process's tables are a pair, the kernel's first, and CR3's bit 12 chooses. */
function usesPti({ types, symbols, space }: LinuxKernel): boolean {
  const cpu = symbols.address("boot_cpu_data");
  const words = types?.offsetOf("cpuinfo_x86", "x86_capability");
  if (cpu === undefined || words === undefined) return false;
  return ((tryRead(() => space.u32(cpu, words + 4 * PTI.word)) ?? 0) & (1 << PTI.bit)) !== 0;
}

function perCpuAddresses(view: GuestView): { current: Gva; top: Gva | undefined } | undefined {
  const kernel = view.kernel();
  const registers = view.registers[0]!;
  return tryRead(() => {
    const hot = perCpu(kernel, "pcpu_hot", registers);
    if (hot !== undefined) {
      const current = kernel.types?.offsetOf("pcpu_hot", "current_task");
      const top = kernel.types?.offsetOf("pcpu_hot", "top_of_stack");
      if (current !== undefined) return { current: gva(hot + current), top: top === undefined ? top : gva(hot + top) };
    }
    const current = perCpu(kernel, "current_task", registers);
    return current && { current, top: perCpu(kernel, "cpu_current_top_of_stack", registers) };
  });
}
