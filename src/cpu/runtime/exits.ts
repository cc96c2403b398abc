/** The state's `attention` while it asks for something: more than any budget, so that one compare sees both. */
export const ATTENTION = 0x7fff_ffff;

/** Why generated code returned to the run loop. `rip` and `budget` are stored first, always. */
export const EXIT = {
  /** The budget ran out, or a repeated instruction was interrupted between two passes. */
  budget: 0,
  /** An exception of the instruction at `rip` is pending in faultVector, faultError, faultAddress. */
  fault: 1,
  /** The instruction before `rip` changed something the run loop must look at. */
  leave: 2,
} as const;
