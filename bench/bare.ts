/** The kernels on the bare 32-bit machine, under those that know no 64 bits too. */
import { BARE_CONTENDERS, type BareContender, bareCommandOf, type Subject } from "./contenders.ts";
import { type Measured, measureItems } from "./items.ts";

export interface BarePlan {
  readonly percent: number;
  readonly repetitions: number;
  readonly rounds: number;
  readonly contenders: readonly string[];
  progress(text: string): void;
}

/**
 * There is no rest around an item here, and of a thread that runs the host's CPU time is as old as its last tick: the work is larger, so
 * that a tick is little of it.
 */
const WORK_FACTOR = 2;

export function measureBare(subject: Subject, plan: BarePlan): Promise<Measured<BareContender>> {
  const append = `percent=${Math.round(plan.percent * WORK_FACTOR)} rounds=${plan.rounds}`;
  return measureItems({
    title: "32-bit kernels",
    contenders: BARE_CONTENDERS.filter((contender) => plan.contenders.includes(contender)),
    repetitions: plan.repetitions,
    command: (contender) => bareCommandOf(contender, subject, append),
    clock: false,
    progress: plan.progress,
  });
}
