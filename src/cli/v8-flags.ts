/** What the command asks of V8. It holds for the whole process, so that only the program itself may do it. */
import { setFlagsFromString } from "node:v8";

/** The first V8 that these were not tried with: it complains about flags it does not know. */
const UNTRIED = 14;

const FLAGS = [
  // Branch hints (WebAssembly branch hinting proposal) move what seldom runs out of the way of compiled code. V8 reads them by a flag
  // before it does by default.
  "--experimental-wasm-branch-hinting",
  // Bytes that a function runs before V8 compiles it anew, better: a copied function of 30,000 is worth the 50 ms after more than the
  // sixty passes that V8 11 takes for enough.
  "--wasm-tiering-budget=100000000",
];

export function setV8Flags(): void {
  if (Number.parseInt(process.versions.v8, 10) < UNTRIED) for (const flag of FLAGS) setFlagsFromString(flag);
}
