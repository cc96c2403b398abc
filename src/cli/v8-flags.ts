/** What the command asks of V8. It holds for the whole process, so that only the program itself may do it. */
import { setFlagsFromString } from "node:v8";

/**
 * The first V8 that these were not tried with, and the first without some of them (tried: 11.3, 12.4, 13.6, 14.1): it complains about
 * flags it does not know.
 */
const UNTRIED = 15;
const FEWER = 12;
/**
 * Bytes that a function runs before V8 compiles it anew, better: what it is set to when the function's module is compiled. A handler of the
 * interpreter is soon worth that; a copied function of 20,000 is worth the 50 ms after more passes than the ninety that V8 11 takes
 * for enough.
 */
const BUDGET = { interpreter: 10_000_000, copied: 100_000_000 } as const;

const version = Number.parseInt(process.versions.v8, 10);
const isTried = version < UNTRIED;

/**
 * Before the interpreter is compiled, and when its worker is there: with any flag set Node has to compile its own modules, for each worker,
 * which takes 40 ms.
 */
export const ENGINE_FLAGS: readonly string[] = isTried
  ? [
      // Branch hints (WebAssembly branch hinting proposal) move what seldom runs out of the way of compiled code. V8 reads them by a
      // flag before it does by default.
      "--experimental-wasm-branch-hinting",
      `--wasm-tiering-budget=${BUDGET.interpreter}`,
    ]
  : [];

const FLAGS_OF_V8_11 = [
  "--interrupt-budget=200000",
  // Otherwise V8 11 takes a quicker allocator of registers for functions that are huge to it, larger copied ones among them; that stores
  // each value where it is made.
  "--no-turbo-use-mid-tier-regalloc-for-huge-functions",
];

/** When a machine runs. */
export function setV8FlagsForRun(): void {
  if (!isTried) return;
  for (const flag of [
    // From its first moments on it decodes and copies code, by many functions of which each runs for some milliseconds. V8 waits for eight
    // calls or so until it begins to see what types they meet, and optimises them as soon as they have run for one or two, with so much
    // inlined that its compiler takes longer than they do.
    "--no-lazy-feedback-allocation",
    "--max-inlined-bytecode-size-cumulative=300",
    // What is compiled from now on is about to run, and is best compiled where its module is: by a copier's thread.
    `--wasm-tiering-budget=${BUDGET.copied}`,
    "--no-wasm-lazy-compilation",
    ...(version < FEWER ? FLAGS_OF_V8_11 : []),
  ])
    setFlagsFromString(flag);
}
