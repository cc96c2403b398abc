/** The kernels on the bare 32-bit machine, under those that know no 64 bits too. */
import { BARE_CONTENDERS, type BareContender, bareCommandOf, type Subject } from "./contenders.ts";
import { type Measured, measureItems } from "./items.ts";

export interface BarePlan {
  readonly percent: number;
  /** Of the kernels' work, what is done here. */
  readonly share: number;
  readonly repetitions: number;
  readonly rounds: number;
  readonly contenders: readonly string[];
  progress(text: string): void;
}

export function measureBare(subject: Subject, plan: BarePlan): Promise<Measured<BareContender>> {
  const append = `percent=${Math.max(1, Math.round(plan.percent * plan.share))} rounds=${plan.rounds}`;
  return measureItems({
    title: "32-bit kernels",
    contenders: BARE_CONTENDERS.filter((contender) => plan.contenders.includes(contender)),
    repetitions: plan.repetitions,
    command: (contender) => bareCommandOf(contender, subject, append),
    clock: false,
    progress: plan.progress,
  });
}
