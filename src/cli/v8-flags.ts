/** What the command asks of V8. It holds for the whole process, so that only the program itself may do it. */
import { setFlagsFromString } from "node:v8";

/** The first V8 that this was not tried with: a flag that is gone would be complained about. */
const UNTRIED = 14;

/**
 * Branch hints (WebAssembly branch hinting proposal) move what seldom runs out of the way of compiled code, and what it needs with it.
 * V8 reads them by a flag before it does by default.
 */
export function readBranchHints(): void {
  if (Number.parseInt(process.versions.v8, 10) < UNTRIED) setFlagsFromString("--experimental-wasm-branch-hinting");
}
