/** Boot of the default guest: from the start of the process to the first line of userspace, in wall and CPU time. */
import { bootCommandOf, MACHINES, type MachineContender, type Subject } from "./contenders.ts";
import { cpuMs, watch } from "./process.ts";

export interface BootTimes {
  readonly wallMs: number[];
  readonly cpuMs: number[];
}

const SILENCE_MS = 300_000;
const LINE = "up";

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
        command: bootCommandOf(contender, subject, LINE),
        silenceMs: SILENCE_MS,
        onLine: ({ text, wallMs, pid }) => {
          if (text !== LINE) return false;
          times[contender].cpuMs.push(cpuMs(pid));
          times[contender].wallMs.push(wallMs);
          return true;
        },
      });
    }
  }
  return times;
}
