/**
 * The same guest programs under Vivarium in Node and in the page in Chromium, taking turns: what a tab costs. Times are the
 * guest's own, and CPU time as the host counts it for all processes of each.
 */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { commandOf, GUEST_MEMORY_MIB, kernelCommandLine, type Subject } from "./contenders.ts";
import type { KernelPlan, Times } from "./kernels.ts";
import { cpuNs, watch } from "./process.ts";
import { geometricMean, median } from "./statistics.ts";

export const PLACES = ["node", "page"] as const;
export type Place = (typeof PLACES)[number];

export interface BrowserTimes {
  readonly name: string;
  readonly times: Readonly<Record<Place, Times>>;
}

/** What the project asks of itself: the page's time over Node's, by geometric mean. */
const TARGET = 1.3;
const TIMEOUT_MS = 300_000;
const GUEST = fileURLToPath(new URL("./browser-guest.js", import.meta.url));

const commandIn = (place: Place, subject: Subject, args: readonly string[]): string[] =>
  place === "node"
    ? commandOf("vivarium", subject, args)
    : [process.execPath, GUEST, subject.kernel, subject.program.initrd].concat(
        [`${GUEST_MEMORY_MIB}M`],
        [kernelCommandLine(args)],
      );

export async function measureBrowser(
  subject: Subject,
  plan: KernelPlan,
  progress: (text: string) => void,
): Promise<BrowserTimes[]> {
  const found = new Map<string, { times: Record<Place, Times>; checksum: string }>();
  const args = [String(plan.percent), String(plan.rounds.vivarium), ...plan.only];
  for (let repetition = 1; repetition <= plan.repetitions; repetition++) {
    for (const place of PLACES) {
      progress(`browser ${repetition}/${plan.repetitions}: ${place}`);
      let began = 0;
      await watch({
        what: place,
        command: commandIn(place, subject, args),
        timeoutMs: TIMEOUT_MS,
        onLine: ({ text, pid }) => {
          // The lines of guest/main.c.
          if (text.startsWith("begin ")) began = cpuOfTree(pid);
          const match = /^end (\S+) (\d+) ([0-9a-f]+)$/.exec(text);
          if (match) {
            const [, name, time, checksum] = match as unknown as [string, string, string, string];
            const kernel = found.get(name) ?? { times: { node: none(), page: none() }, checksum };
            found.set(name, kernel);
            if (checksum !== kernel.checksum) {
              throw new Error(`${name} computes ${checksum} in the ${place} and ${kernel.checksum} before`);
            }
            kernel.times[place].elapsed.push(Number(time));
            kernel.times[place].cpu.push(cpuOfTree(pid) - began);
          }
          return text === "done";
        },
      });
    }
  }
  return [...found].map(([name, { times }]) => ({ name, times }));
}

const none = (): Times => ({ elapsed: [], cpu: [] });

/** CPU time of a process and all that descend from it, in nanoseconds: a browser is many. */
function cpuOfTree(root: number): number {
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const parent = parentOf(Number(name));
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  let sum = 0;
  for (const stack = [root]; stack.length > 0; ) {
    const pid = stack.pop()!;
    stack.push(...(children.get(pid) ?? []));
    try {
      sum += cpuNs(pid);
    } catch {
      // It has ended since.
    }
  }
  return sum;
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
