/**
 * From a vCPU's registers and the words of its stacks to the chain of calls: through the kernel, and from there through the user's code. Neither
 * of the guest nor of its tables is anything believed: a chain has a longest length, and what does not fit ends it.
 */
import { type KernelCodeContext, KernelFrames } from "./kernel-frames.ts";
import { type UserCodeContext, UserFrames } from "./user-frames.ts";
import type { StackWords, Step, Truncated } from "./words.ts";

/** Frames of a chain. Stops deep recursions, which lose their outermost calls. */
export const MAX_FRAMES = 512;

/** What is known of code at an address. */
export interface UnwindContext extends KernelCodeContext, UserCodeContext {}

/** A vCPU or task at rest. */
export interface StartRegisters {
  readonly ip: number;
  /** In the order of instructions (GPR_NAMES); NaN where one is not known. */
  readonly gpr: ArrayLike<number>;
  readonly user: boolean;
  /** The instruction at `ip` called and waits: a task that sleeps. */
  readonly called?: boolean;
}

export interface Chain {
  /** Innermost first: addresses of instructions, return addresses but for the first and where something was interrupted. */
  readonly ips: number[];
  /** The same as addresses inside the instructions that are meant: one less where it is a return address. */
  readonly places: number[];
  /** How many of the first are the kernel's. */
  kernel: number;
  truncated?: Truncated;
}

export class Unwinder {
  readonly #kernel: KernelFrames;
  readonly #user: UserFrames;

  constructor(context: UnwindContext, words: StackWords) {
    this.#kernel = new KernelFrames(context, words);
    this.#user = new UserFrames(context, words);
  }

  unwind(start: StartRegisters): Chain {
    const chain: Chain = { ips: [], places: [], kernel: 0 };
    const exact = start.called !== true;
    const user = this.#user;
    if (start.user) user.begin(start.gpr, start.ip, exact);
    else {
      const kernel = this.#kernel;
      kernel.begin(start.gpr, start.ip, exact);
      const step = walk(chain, kernel);
      chain.kernel = chain.ips.length;
      if (step !== "user") return ended(chain, step);
      user.beginBelowKernel(kernel.gpr, kernel.ip);
      // Code of 32 bits keeps its stack in another way.
      if (kernel.compat) return ended(chain, push(chain, kernel.ip, true) ? "unknown-code" : "depth");
    }
    return ended(chain, walk(chain, user));
  }
}

/** Frame by frame, as far as it goes. */
function walk(chain: Chain, frames: KernelFrames | UserFrames): Step {
  for (;;) {
    if (!push(chain, frames.ip, frames.exact)) return "depth";
    const step = frames.step();
    if (step !== "frame") return step;
  }
}

function ended(chain: Chain, step: Step): Chain {
  if (step !== "end" && step !== "frame" && step !== "user") chain.truncated = step;
  return chain;
}

/** False where the chain is as long as it may be. */
function push(chain: Chain, ip: number, exact: boolean): boolean {
  if (chain.ips.length >= MAX_FRAMES) return false;
  chain.ips.push(ip);
  chain.places.push(exact ? ip : ip - 1);
  return true;
}
