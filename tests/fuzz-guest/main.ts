/**
 * The fuzz command for what looks into guests: memory, programs and stacks that lie. Nothing of it may crash, hang or be believed.
 *
 *   npm run fuzz:guest -- --count 100000 --seed 1     that many cases of each kind
 *   npm run fuzz:guest -- --what kernel --from 4711 --count 1     one of them again
 */
import { performance } from "node:perf_hooks";
import { parseArgs } from "node:util";
import type { FuzzOptions, FuzzResult } from "./cases.ts";
import { fuzzGuestInside } from "./inside.ts";
import { fuzzGuestKernel } from "./kernel.ts";
import { fuzzGuestStacks } from "./stacks.ts";

const KINDS: Readonly<Record<string, (options: FuzzOptions) => FuzzResult>> = {
  kernel: fuzzGuestKernel,
  inside: fuzzGuestInside,
  stacks: fuzzGuestStacks,
};
/** Said after so many cases. */
const STEP = 200;

const { values } = parseArgs({
  options: {
    what: { type: "string" },
    count: { type: "string", default: "10000" },
    seed: { type: "string", default: "1" },
    from: { type: "string", default: "0" },
  },
});

function number(text: string, name: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`--${name} wants a whole number, not "${text}"`);
  return value;
}

const wanted = values.what === undefined ? Object.keys(KINDS) : [values.what];
const unknown = wanted.find((what) => !(what in KINDS));
if (unknown !== undefined) throw new Error(`--what ${unknown}: one of ${Object.keys(KINDS).join(", ")}`);
const seed = number(values.seed, "seed");
const from = number(values.from, "from");
const end = from + number(values.count, "count");

let failed = 0;
for (const what of wanted) {
  for (let at = from; at < end; at += STEP) {
    const count = Math.min(STEP, end - at);
    const { failures, slowest } = KINDS[what]!({ seed, from: at, count, now: () => performance.now() });
    for (const failure of failures) console.error(`${what}: ${failure}`);
    failed += failures.length;
    console.log(
      `${what}: ${at + count - from} cases, ${failed} failures, the longest of these ${slowest.milliseconds.toFixed(0)} ms`,
    );
  }
}
process.exitCode = failed > 0 ? 1 : 0;
