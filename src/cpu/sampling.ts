/**
 * Where a vCPU stands when it is sampled. Generated code can stop at jumps back and on ways out only; samples taken where it happens to
 * stop would all be at the ends of loops. So an instruction is chosen by chance before anybody knows what lies there, and the vCPU stops in
 * front of exactly that one: as compiled code to shortly before, from there from stop to stop as far as it is known not to lead beyond it, and
 * the rest one by one. That is dear, for the interpreter is in no cache then: 0.1 us for an instruction.
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
 * How long before it compiled code is sent to stop: so early that it runs past once in two hundred times. What it has run past cannot
 * be sampled any more; the place where it stops is.
 */
const LEAD = { least: 8, most: 1024, first: 256, grows: 1.5, fades: 0.998 } as const;
/**
 * Instructions from one stop of compiled code to the next, by where it begins: the most there ever were, for a way that is seldom taken is where
 * samples would be missed. `unknown`, where none is known. So many places are kept, as a power of two.
 */
const WAYS = { places: 4096, unknown: 96, most: 0xffff } as const;
/**
 * After the clock has ticked, compiled code stops at the first place where it can. From there one of so many instructions is chosen, which
 * are more than lie between two such places; what comes before and what comes behind them has the same chance then. Those in the middle are
 * likelier, for with sharp edges a loop a third as long would show where it is stopped.
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
  #lead: number = LEAD.first;
  readonly #starts = new Int32Array(WAYS.places);
  readonly #ways = new Uint16Array(WAYS.places);

  constructor(ports: SamplingPorts) {
    this.#ports = ports;
  }

  /** How many instructions are left, with `retired` retired, to the one in front of which a sample is due; 0: none is. */
  next(retired: number): number {
    for (;;) {
      if (this.#target === NEVER && !this.#choose(retired)) return 0;
      const left = this.#target - retired;
      if (left > 0) return left;
      if (left < 0) this.learnLead(left);
      this.arrive(retired);
    }
  }

  /** Takes the sample where the vCPU is at rest in front of that instruction now, or behind it. */
  arrive(retired: number): void {
    if (this.#target > retired) return;
    this.#target = NEVER;
    this.#ports.take();
  }

  /** So many instructions before that one compiled code is sent to stop. */
  get lead(): number {
    return Math.floor(this.#lead);
  }
  /** It did, with so many left: below 0, it ran past. */
  learnLead(left: number): void {
    const lead = left < 0 ? this.#lead * LEAD.grows + 1 : this.#lead * LEAD.fades;
    this.#lead = Math.min(LEAD.most, Math.max(LEAD.least, lead));
  }

  /** The most instructions that compiled code is expected to run from `rip` (its low half) to where it can stop. */
  way(rip: number): number {
    const place = placeOf(rip);
    return this.#starts[place] === rip ? this.#ways[place]! : WAYS.unknown;
  }
  /** They were so many. */
  learnWay(rip: number, instructions: number): void {
    const place = placeOf(rip);
    const known = this.#starts[place] === rip ? this.#ways[place]! : 0;
    this.#starts[place] = rip;
    this.#ways[place] = Math.min(WAYS.most, Math.max(known, instructions));
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
    this.#target = tick === TICK.host ? retired : retired + Math.floor(((chance + this.#ports.random()) / 2) * SPREAD);
    return true;
  }
}

const placeOf = (rip: number): number => (rip ^ (rip >>> 12)) & (WAYS.places - 1);
