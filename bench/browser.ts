/**
 * The same guest programs under Vivarium in Node and in the page in Chromium, taking turns: what a tab costs. Times are the
 * guest's own, and CPU time as the host counts it.
 */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import {
  type Command,
  commandOf,
  GUEST_MEMORY_MIB,
  kernelCommandLine,
  PLACES,
  type Place,
  type Subject,
} from "./contenders.ts";
import { type Measured, measureItems } from "./items.ts";
import { cpuNs } from "./process.ts";

export interface BrowserPlan {
  readonly percent: number;
  readonly repetitions: number;
  readonly rounds: number;
  /** Sets or items. */
  readonly wanted: readonly string[];
  progress(text: string): void;
}

const GUEST = fileURLToPath(new URL("./browser-guest.js", import.meta.url));

function commandIn(place: Place, subject: Subject, args: readonly string[]): Command {
  if (place === "vivarium") return commandOf("vivarium", subject, args);
  const { kernel, program, guest, cpu } = subject;
  const options = { memory: `${GUEST_MEMORY_MIB}M`, cpu, append: kernelCommandLine(guest, args) };
  return { words: [process.execPath, GUEST, kernel, program.initrd, JSON.stringify(options)] };
}

export function measureBrowser(subject: Subject, plan: BrowserPlan): Promise<Measured<Place>> {
  const args = [`${plan.percent}`, `${plan.rounds}`, "1", "0", ...plan.wanted];
  return measureItems({
    title: "browser",
    contenders: PLACES,
    repetitions: plan.repetitions,
    command: (place) => commandIn(place, subject, args),
    cpu: cpuIn,
    clock: true,
    progress: plan.progress,
  });
}

/**
 * CPU time of what runs the machine, in nanoseconds: of Node the whole process, of Chromium those of its processes that hold
 * a page. The rest of Chromium draws the window and talks to this program, which is no guest's doing.
 */
const cpuIn = (place: Place, pid: number): number =>
  place === "vivarium"
    ? cpuNs(pid)
    : descendantsOf(pid)
        .filter(isRenderer)
        .reduce((sum, renderer) => sum + cpuNs(renderer), 0);

function isRenderer(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1").includes("--type=renderer");
  } catch {
    // It has ended since.
    return false;
  }
}

function descendantsOf(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const parent = parentOf(Number(name));
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const found = [root];
  // The array grows as it is walked.
  for (const pid of found) found.push(...(children.get(pid) ?? []));
  return found;
}

/** The fourth field of /proc/PID/stat (proc(5)); the second may hold anything, and ends in a parenthesis. */
function parentOf(pid: number): number | undefined {
  try {
    return Number(/.*\) \S+ (\d+) /s.exec(readFileSync(`/proc/${pid}/stat`, "utf8"))![1]);
  } catch {
    return undefined;
  }
}
