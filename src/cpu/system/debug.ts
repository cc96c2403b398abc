/** Debug exceptions (SDM vol. 3B, 18.2 and 18.3), the part that is no data breakpoint (cpu/runtime/debug.ts). */
import { WATCH } from "../runtime/debug.ts";
import type { SystemContext } from "./access.ts";

const BREAKPOINTS = [0, 1, 2, 3] as const;
/** L0 to G3 of DR7. */
const DR7_ENABLE = 0xff;
const DR7_GD = 0x2000;
const CR4_DE = 8;
const RW_EXECUTE = 0;
const RW_IO = 2;
/** DR6.B0 to B3: they tell of one exception; the other bits stay until the program clears them. */
const DR6_HITS = 0xf;

const isOn = (dr7: number, n: number): boolean => ((dr7 >>> (2 * n)) & 3) !== 0;
const rwOf = (dr7: number, n: number): number => (dr7 >>> (16 + 4 * n)) & 3;
const LENGTHS = [1, 2, 8, 4];
const lengthOf = (dr7: number, n: number): number => LENGTHS[(dr7 >>> (18 + 4 * n)) & 3]!;

/** The field `watch`. Without CR4.DE there are no I/O breakpoints. */
export function watchOf(c: SystemContext): number {
  const dr7 = c.r.get("dr7");
  if ((dr7 & DR7_ENABLE) === 0) return 0;
  let watch = 0;
  for (const n of BREAKPOINTS) {
    if (!isOn(dr7, n)) continue;
    const rw = rwOf(dr7, n);
    if (rw === RW_EXECUTE) watch |= WATCH.code;
    else if (rw !== RW_IO) watch |= WATCH.data;
    else if ((c.r.get("cr4") & CR4_DE) !== 0) watch |= WATCH.io;
  }
  return watch;
}

/** Breakpoints on the instruction at a linear address, as bits of DR6. */
export function codeHits(c: SystemContext, linear: bigint): number {
  const dr7 = c.r.get("dr7");
  let hits = 0;
  for (const n of BREAKPOINTS) {
    if (isOn(dr7, n) && rwOf(dr7, n) === RW_EXECUTE && c.r.getBig(`dr${n}`) === linear) hits |= 1 << n;
  }
  return hits;
}

/** Breakpoints on an access to ports, as bits of DR6. */
export function ioHits(c: SystemContext, port: number, bytes: number): number {
  const dr7 = c.r.get("dr7");
  let hits = 0;
  for (const n of BREAKPOINTS) {
    if (!isOn(dr7, n) || rwOf(dr7, n) !== RW_IO) continue;
    const length = lengthOf(dr7, n);
    const first = c.r.getNumber(`dr${n}`) & ~(length - 1);
    if (port < first + length && first < port + bytes) hits |= 1 << n;
  }
  return hits;
}

/** Says in DR6 why a #DB comes. */
export function noteDebug(c: SystemContext, bits: number): void {
  c.r.setPair("dr6", ((c.r.get("dr6") & ~DR6_HITS) | bits) >>> 0, 0);
}

/** The exception itself ends the guard on debug registers. */
export function endGuard(c: SystemContext): void {
  c.r.setPair("dr7", c.r.get("dr7") & ~DR7_GD, 0);
}
