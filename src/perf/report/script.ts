/** Each sample by itself, as `perf script` writes it: a heading, then its frames from the innermost out. */

import { forTerminal } from "../../guest/escape.ts";
import { hexadecimal } from "../names.ts";
import { MODES } from "../profile.ts";
import { type SampleFilter, Sieve } from "./filter.ts";
import type { FrameNames } from "./frame-names.ts";

const NS_PER_S = 1e9;
const NS_PER_US = 1e3;

/** Lines of all samples the filter lets through, in the order of time, each without its end. */
export function* scriptLines(names: FrameNames, filter: SampleFilter): Generator<string> {
  const { profile } = names;
  const { samples, stacks, tasks, guests, info } = profile;
  const sieve = new Sieve(names, filter);
  const frameLines: (string | undefined)[] = [];
  for (const i of byTime(samples.time)) {
    const task = tasks[samples.task[i]!];
    if (task === undefined || !sieve.passes(i)) continue;
    let stack = samples.stack[i]!;
    const guest = guests[task.guest];
    const where =
      guest === undefined ? "" : `VM: ${forTerminal(guest.name)} VCPU:${String(samples.vcpu[i]).padStart(3, "0")} `;
    const weight = String(Math.round(samples.weight[i]!)).padStart(10);
    yield `${where}${forTerminal(task.comm)} ${task.pid}/${task.tid} ${seconds(samples.time[i]!)}: ${weight} ${info.event}: ${MODES[samples.mode[i]!] ?? "?"}`;
    while (stack >= 0) {
      const frame = stacks.frame[stack]!;
      yield (frameLines[frame] ??= frameLine(names, frame));
      const caller = stacks.caller[stack]!;
      // Ends whatever a file says.
      stack = caller < stack ? caller : -1;
    }
    yield "";
  }
}

/** Seconds and microseconds, as perf pads them. */
function seconds(ns: number): string {
  const us = Math.floor(ns / NS_PER_US);
  const whole = Math.floor(us / (NS_PER_S / NS_PER_US));
  return `${String(whole).padStart(5)}.${String(us - whole * (NS_PER_S / NS_PER_US)).padStart(6, "0")}`;
}

function frameLine(names: FrameNames, frame: number): string {
  const { frames, dsos, symbols } = names.profile;
  const address = hexadecimal(frames.address[frame]!).slice(2).padStart(16);
  const symbol = symbols[frames.symbol[frame]!];
  const dso = dsos[frames.dso[frame]!];
  const offset = symbol === undefined ? 0 : frames.offset[frame]! - symbol.start;
  // perf has the whole path here, and short names for what is no file.
  const file = dso?.name.startsWith("/") === true ? dso.name : names.dso(frame);
  const place =
    symbol === undefined ? "[unknown]" : `${forTerminal(symbol.name)}+0x${Math.max(0, offset).toString(16)}`;
  return `\t${address} ${place} (${forTerminal(file)})`;
}

/** Indices of samples by time: those of several vCPUs follow each other in a profile. */
function byTime(time: Float64Array): Uint32Array {
  const order = Uint32Array.from({ length: time.length }, (_, i) => i);
  let sorted = true;
  for (let i = 1; i < time.length && sorted; i++) sorted = time[i]! >= time[i - 1]!;
  return sorted ? order : order.sort((a, b) => time[a]! - time[b]! || a - b);
}
