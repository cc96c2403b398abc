/** Boot: from the start of the process to the first line of userspace, in wall and CPU time. */
import { commandOf, MACHINES, type MachineContender, type Subject } from "./contenders.ts";
import { cpuMs, watch } from "./process.ts";

export interface BootTimes {
  readonly wallMs: number[];
  readonly cpuMs: number[];
}

const TIMEOUT_MS = 300_000;

export async function measureBoot(
  subject: Subject,
  repetitions: number,
  progress: (text: string) => void,
): Promise<Record<MachineContender, BootTimes>> {
  const times: Record<MachineContender, BootTimes> = {
    vivarium: { wallMs: [], cpuMs: [] },
    qemu: { wallMs: [], cpuMs: [] },
  };
  for (let repetition = 1; repetition <= repetitions; repetition++) {
    for (const contender of MACHINES) {
      progress(`boot ${repetition}/${repetitions}: ${contender}`);
      await watch({
        what: contender,
        command: commandOf(contender, subject, ["boot"]),
        timeoutMs: TIMEOUT_MS,
        onLine: ({ text, wallMs, pid }) => {
          if (text !== "up") return false;
          times[contender].cpuMs.push(cpuMs(pid));
          times[contender].wallMs.push(wallMs);
          return true;
        },
      });
    }
  }
  return times;
}
