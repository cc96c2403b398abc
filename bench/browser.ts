/**
 * The same guest programs under Vivarium in Node and in the page in Chromium, taking turns: what a tab costs. Times are the
 * guest's own, and CPU time as the host counts it.
 */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Command, commandOf, GUEST_MEMORY_MIB, kernelCommandLine, type Subject } from "./contenders.ts";
import { type ItemTimes, type Measured, measureItems, type Times } from "./items.ts";
import { cpuNs } from "./process.ts";
import { geometricMean, median } from "./statistics.ts";

export const PLACES = ["node", "page"] as const;
export type Place = (typeof PLACES)[number];
type BrowserTimes = ItemTimes<Place>;

export interface BrowserPlan {
  readonly percent: number;
  readonly repetitions: number;
  readonly rounds: number;
  /** Sets or items. */
  readonly wanted: readonly string[];
  progress(text: string): void;
}

/** What the project asks of itself: the page's time over Node's, by geometric mean. */
const TARGET = 1.3;
const GUEST = fileURLToPath(new URL("./browser-guest.js", import.meta.url));

function commandIn(place: Place, subject: Subject, args: readonly string[]): Command {
  if (place === "node") return commandOf("vivarium", subject, args);
  const { kernel, program, guest } = subject;
  const words = [process.execPath, GUEST, kernel, program.initrd, `${GUEST_MEMORY_MIB}M`];
  return { words: [...words, kernelCommandLine(guest, args)] };
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
  place === "node"
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

/** The page's median over Node's, of elapsed and of CPU time. */
export function ratioOf({ times }: BrowserTimes): Record<keyof Times, number> {
  const of = (key: keyof Times): number => median(times.page[key]) / median(times.node[key]);
  return { elapsed: of("elapsed"), cpu: of("cpu") };
}

/** A table in Markdown, and what was reached. */
export function browserReport(kernels: readonly BrowserTimes[]): string {
  const ms = (ns: readonly number[]): string => (median(ns) / 1e6).toFixed(1);
  const mean = (key: keyof Times): number => geometricMean(kernels.map((kernel) => ratioOf(kernel)[key]));
  const rows = [
    ["kernel", "Node ms", "page ms", "page ×", "CPU ×"],
    ["---", "---:", "---:", "---:", "---:"],
    ...kernels.map((kernel) => {
      const { elapsed, cpu } = ratioOf(kernel);
      const { node, page } = kernel.times;
      return [kernel.name, ms(node.elapsed), ms(page.elapsed), elapsed.toFixed(2), cpu.toFixed(2)];
    }),
    ["geometric mean", "", "", mean("elapsed").toFixed(2), mean("cpu").toFixed(2)],
  ];
  const verdict = mean("cpu") <= TARGET ? "reached" : "MISSED ";
  return [
    ...rows.map((cells) => `| ${cells.join(" | ")} |`),
    "",
    `${verdict}  page in Chromium: ${mean("cpu").toFixed(2)} × Node in CPU time (at most ${TARGET})`,
    "",
  ].join("\n");
}
