/**
 * Where a vCPU stands when it is sampled. Generated code can stop at jumps back and on ways out only; samples taken where it happens to
 * stop would all be at the ends of loops. So an instruction is chosen by chance before anybody knows what lies there, and the vCPU stops in
 * front of exactly that one: as compiled code to shortly before, and the rest one by one.
 */

/** What the clock has said since it was asked last. */
export const TICK = { none: 0, guest: 1, host: 2 } as const;

export interface SamplingPorts {
  /** Instructions between two samples, in the mean; 0: whenever the clock says so. */
  readonly period: number;
  /** Evenly from 0 to below 1. */
  random(): number;
  /** One of TICK; `host`: the vCPU's thread was not in guest code then. */
  tick(): number;
  /** Takes the sample: the vCPU is at rest in front of the instruction that was chosen. */
  take(): void;
}

/**
 * Instructions that are run one by one: twice what lay between two places where compiled code could stop, lately. What compiled code has
 * run past cannot be sampled any more; the next place would be in its stead, and be met too often.
 */
const LEAD = { least: 32, most: 1024 } as const;
/** How slowly it becomes fewer again: by so much with each sample. */
const FADING = 0.98;
/**
 * After the clock has ticked, compiled code stops at the first place where it can. From there one of so many instructions is chosen, which
 * are more than lie between two such places; what comes before and what comes behind them has the same chance then.
 */
const SPREAD = 16_384;
/** No period is shorter: each sample costs some microseconds. */
export const LEAST_PERIOD = 1000;

const NEVER = Number.POSITIVE_INFINITY;

export class Sampling {
  readonly #ports: SamplingPorts;
  /** Number of the instruction that was chosen, among those that the vCPU retires. */
  #target = NEVER;
  /** The one that was chosen before. */
  #last = NEVER;
  #lead: number = LEAD.most;
  /** Compiled code was sent to shortly before it. */
  #sent = false;

  constructor(ports: SamplingPorts) {
    this.#ports = ports;
  }

  /**
   * What to do with `retired` instructions retired: 0, what one likes; above 0, run at most so many; below 0, run so many one by
   * one. Takes the sample where it is time.
   */
  next(retired: number): number {
    for (;;) {
      if (this.#target === NEVER && !this.#choose(retired)) return 0;
      const left = this.#target - retired;
      if (left > this.#lead) {
        this.#sent = true;
        return left - this.#lead;
      }
      if (this.#sent) this.#learn(left);
      if (left > 0) return -left;
      this.#target = NEVER;
      this.#ports.take();
    }
  }

  /** Compiled code stopped with so many instructions left to the one that was chosen. */
  #learn(left: number): void {
    this.#sent = false;
    const beyond = this.#lead - left;
    this.#lead = Math.min(LEAD.most, Math.max(LEAD.least, 2 * beyond, Math.floor(this.#lead * FADING)));
  }

  /** Chooses the next one; false: none is wanted yet. */
  #choose(retired: number): boolean {
    const { period } = this.#ports;
    const chance = this.#ports.random();
    if (period > 0) {
      // Not always the same distance: a guest that does something just as often would always be met there.
      const distance = Math.floor(period * (0.5 + chance));
      this.#last = Math.max(retired, (this.#last === NEVER ? retired : this.#last) + distance);
      this.#target = this.#last;
      return true;
    }
    const tick = this.#ports.tick();
    if (tick === TICK.none) return false;
    this.#target = tick === TICK.host ? retired : retired + Math.floor(chance * SPREAD);
    return true;
  }
}
