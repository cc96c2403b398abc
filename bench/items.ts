/**
 * The compute kernels under each contender, in nanoseconds: elapsed time as the program's own clock says, and CPU time as
 * the host counts it for the whole process. On a quiet host the two agree; on a busy one only the second means something.
 */
import { CONTENDERS, type Contender, commandOf, type Subject } from "./contenders.ts";
import { cpuNs, watch } from "./process.ts";

export interface KernelPlan {
  /** Parts per hundred of the full work. */
  readonly percent: number;
  /** Processes (and boots) of each contender, taking turns. */
  readonly repetitions: number;
  /** Rounds of each kernel in one process; native ones cost next to nothing. */
  readonly rounds: Readonly<Record<Contender, number>>;
  /** Empty: all. */
  readonly only: readonly string[];
}

export interface Times {
  readonly elapsed: number[];
  readonly cpu: number[];
}

export interface KernelTimes {
  readonly name: string;
  readonly times: Readonly<Record<Contender, Times>>;
}

const TIMEOUT_MS = 300_000;
/** A guest's clock and the host's may differ by this much before a time is not believed. */
const CLOCK_SLACK_MS = 100;
const CLOCK_SLACK = 0.05;
/** The program rests between its line and the work (guest/main.c). */
const REST_MS = 30;

const none = (): Times => ({ elapsed: [], cpu: [] });

export async function measureKernels(
  subject: Subject,
  plan: KernelPlan,
  contenders: readonly Contender[],
  progress: (text: string) => void,
): Promise<{ kernels: KernelTimes[]; warnings: string[] }> {
  const found = new Map<string, { times: Record<Contender, Times>; checksum: string; first: Contender }>();
  const warnings: string[] = [];
  for (let repetition = 1; repetition <= plan.repetitions; repetition++) {
    for (const contender of CONTENDERS.filter((c) => contenders.includes(c))) {
      progress(`kernels ${repetition}/${plan.repetitions}: ${contender}`);
      const args = [String(plan.percent), String(plan.rounds[contender]), ...plan.only];
      let began = { wallMs: 0, cpu: 0 };
      await watch({
        what: contender,
        command: commandOf(contender, subject, args),
        timeoutMs: TIMEOUT_MS,
        onLine: ({ text, wallMs, pid }) => {
          if (text.startsWith("begin ")) began = { wallMs, cpu: cpuNs(pid) };
          const match = /^end (\S+) (\d+) ([0-9a-f]+)$/.exec(text);
          if (match) {
            const [, name, time, checksum] = match as unknown as [string, string, string, string];
            const kernel = found.get(name) ?? {
              times: { native: none(), vivarium: none(), qemu: none() },
              checksum,
              first: contender,
            };
            found.set(name, kernel);
            if (checksum !== kernel.checksum) {
              const message = `${name} computes ${checksum} under ${contender} and ${kernel.checksum} under ${kernel.first}`;
              throw new Error(message);
            }
            kernel.times[contender].cpu.push(cpuNs(pid) - began.cpu);
            kernel.times[contender].elapsed.push(Number(time));
            const hostMs = wallMs - began.wallMs - REST_MS;
            const differ = Math.abs(hostMs - Number(time) / 1e6);
            if (differ > CLOCK_SLACK_MS + hostMs * CLOCK_SLACK) {
              const guest = (Number(time) / 1e6).toFixed(0);
              warnings.push(
                `${name} under ${contender}: ${guest} ms by its own clock, ${hostMs.toFixed(0)} by the host's`,
              );
            }
          }
          return text === "done";
        },
      });
    }
  }
  return { kernels: [...found].map(([name, { times }]) => ({ name, times })), warnings };
}
