/**
 * From where the interpreter takes over when an access misses the TLB. It need not be the instruction itself: what only set registers and
 * flags since an earlier point can be done again from there, as long as the state has them as they were. So most ways out store nothing,
 * and flags that are replaced before anybody else sees them are never made.
 */
import type { FlagEffect } from "../interpreter/pairs.ts";
import { waitingAmong } from "./cached-fields.ts";
import type { Template } from "./template.ts";

/** So many instructions are done again at most. */
const LIMIT = 16;

/** An instruction to go back to. */
export interface Point {
  readonly record: number;
  /** Instructions between where the budget was last brought up to date and here; below zero: that was behind this point. */
  readonly done: number;
  /** Fields that wait in their locals here, as a bit mask. None of them is set while this is the point to go back to. */
  readonly waiting: number;
}

/** How the point moves, as one instruction after the other is looked at. */
export class Replay {
  /** Fields that wait at the point, and here; flags that turn out not to be needed are among them. */
  #atPoint = 0;
  #waiting = 0;
  #passed = 0;
  /** The next instruction is the point. */
  #moves = true;
  /** All flags were replaced behind the point. */
  #replaced = false;

  copy(): Replay {
    const copy = new Replay();
    copy.#atPoint = this.#atPoint;
    copy.#waiting = this.#waiting;
    copy.#passed = this.#passed;
    copy.#moves = this.#moves;
    copy.#replaced = this.#replaced;
    return copy;
  }

  /** What lies before is not to be done again. */
  move(): void {
    this.#moves = true;
  }

  /**
   * Goes on behind an instruction: whether it is a new point, and what it means for flags set before it. `effect`: that, but for its
   * accesses; `sets`: fields that it sets.
   */
  pass(
    template: Template,
    effect: FlagEffect,
    sets: readonly number[],
  ): { readonly isPoint: boolean; readonly effect: FlagEffect } {
    const { kind, replays, repeatable, through } = template;
    // A branch may be copied as a part of the comparison in front of it; the point moves behind it then.
    const isPoint = kind !== "branch" && (this.#moves || through || this.#passed >= LIMIT);
    if (isPoint) {
      this.#moves = false;
      this.#replaced = false;
      this.#passed = 0;
      if (through) this.#waiting = 0;
      this.#atPoint = this.#waiting;
    }
    const shows = replays && !this.#replaced;
    if (effect === "replaces") this.#replaced = true;
    const set = waitingAmong(sets);
    if (!through) this.#waiting |= set;
    if (!repeatable || (set & this.#atPoint) !== 0) this.#moves = true;
    this.#passed++;
    return { isPoint, effect: shows ? "shows" : effect };
  }
}
