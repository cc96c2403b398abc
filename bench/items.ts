/**
 * The items - kernels, system, programs - under each contender, in nanoseconds: elapsed time as the program's own clock says, and CPU time
 * as the host counts it for the whole process. On a quiet host the two agree but for what a contender does in other threads; on a busy one
 * only the second means something.
 */
import type { Command } from "./contenders.ts";
import { cpuNs, watch } from "./process.ts";

export interface Times {
  readonly elapsed: number[];
  /** Of `elapsed`, those of an item's first run in its process: what has to be translated is translated here. */
  readonly first: number[];
  /** The rest of them. */
  readonly later: number[];
  readonly cpu: number[];
}

export interface ItemTimes<Who extends string = string> {
  /** What is asked for together: "kernels", "system", "programs", "bare". */
  readonly set: string;
  readonly group: string;
  readonly name: string;
  readonly times: Readonly<Record<Who, Times>>;
}

export interface ItemPlan<Who extends string> {
  readonly title: string;
  readonly contenders: readonly Who[];
  /** Processes (and boots) of each contender, taking turns. */
  readonly repetitions: number;
  command(contender: Who): Command;
  /** Who counts its CPU time itself, to a nanosecond and with the processes it starts. */
  readonly countsItself?: Who;
  /** What counts it for the others, in nanoseconds; without it, the whole process. */
  cpu?(contender: Who, pid: number): number;
  /** Whether the program has a clock of its own and rests around each item; else the time is that between the lines. */
  readonly clock: boolean;
  progress(text: string): void;
}

export interface Measured<Who extends string> {
  readonly items: ItemTimes<Who>[];
  readonly warnings: string[];
  /** What did not run to its end, or came to another result than the others. */
  readonly failures: string[];
}

/** No item takes longer under anybody. */
const SILENCE_MS = 300_000;
/** A guest's clock and the host's may differ by this much before a time is not believed. */
const CLOCK_SLACK_MS = 100;
const CLOCK_SLACK = 0.05;
/** The program rests between its line and the work (guest/main.c). */
const REST_MS = 30;
const END = /^end (\S+) (\S+)\/(\S+) (\d+) (\d+) ([0-9a-f]+)$/;

interface Found<Who extends string> extends ItemTimes<Who> {
  readonly checksum: string;
  readonly first: Who;
}

export async function measureItems<Who extends string>(plan: ItemPlan<Who>): Promise<Measured<Who>> {
  const found = new Map<string, Found<Who>>();
  const warnings: string[] = [];
  const failures = new Set<string>();
  /** What has run in the present process. */
  const ran = new Set<string>();
  const cpuOf = (contender: Who, pid: number): number => plan.cpu?.(contender, pid) ?? cpuNs(pid);

  function take(contender: Who, match: RegExpExecArray, host: { readonly wallMs: number; readonly cpu: number }): void {
    const [, set, group, name, elapsed, cpu, checksum] = match as unknown as string[] & { readonly length: 7 };
    const key = `${set} ${name}`;
    const none = Object.fromEntries(
      plan.contenders.map((who): [Who, Times] => [who, { elapsed: [], first: [], later: [], cpu: [] }]),
    );
    const item = found.get(key) ?? {
      set: set!,
      group: group!,
      name: name!,
      times: none as Record<Who, Times>,
      checksum: checksum!,
      first: contender,
    };
    found.set(key, item);
    if (checksum !== item.checksum) {
      failures.add(`${name} gives ${checksum} under ${contender} and ${item.checksum} under ${item.first}`);
    }
    const all = item.times[contender];
    const time = plan.clock ? Number(elapsed) : host.wallMs * 1e6;
    all.cpu.push(contender === plan.countsItself ? Number(cpu) : host.cpu);
    all.elapsed.push(time);
    (ran.has(key) ? all.later : all.first).push(time);
    ran.add(key);
    if (!plan.clock) return;
    const hostMs = host.wallMs - REST_MS;
    const guestMs = Number(elapsed) / 1e6;
    if (Math.abs(hostMs - guestMs) > CLOCK_SLACK_MS + hostMs * CLOCK_SLACK) {
      const clocks = `${guestMs.toFixed(0)} ms by its own clock, ${hostMs.toFixed(0)} by the host's`;
      warnings.push(`${name} under ${contender}: ${clocks}`);
    }
  }

  for (let repetition = 1; repetition <= plan.repetitions; repetition++) {
    for (const contender of plan.contenders) {
      let began = { wallMs: 0, cpu: 0 };
      let at = "the boot";
      ran.clear();
      try {
        await watch({
          what: contender,
          command: plan.command(contender),
          silenceMs: SILENCE_MS,
          onStart: () => plan.progress(`${plan.title} ${repetition}/${plan.repetitions}: ${contender}`),
          onLine: ({ text, wallMs, pid }) => {
            if (text.startsWith("begin ")) {
              at = text.slice("begin ".length);
              began = { wallMs, cpu: cpuOf(contender, pid) };
            }
            if (text.startsWith("fail ")) throw new Error(`${contender} cannot: ${text}`);
            const match = END.exec(text);
            if (match)
              take(contender, match, { wallMs: wallMs - began.wallMs, cpu: cpuOf(contender, pid) - began.cpu });
            return text === "done";
          },
        });
      } catch (error) {
        // The others go on: a run takes long, and what they show helps to find the fault.
        const reason = `${contender} failed at ${at}: ${(error as Error).message}`;
        plan.progress(reason);
        failures.add(reason);
      }
    }
  }
  const items = [...found.values()].map(({ set, group, name, times }) => ({ set, group, name, times }));
  return { items, warnings, failures: [...failures] };
}
