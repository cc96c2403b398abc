/**
 * What it costs a guest to be watched: the same work with samples taken 999 times a second with stacks, and without, in turns of half a second.
 * A machine's neighbours are felt over seconds, so what counts is the ratio of each turn with samples to those in front of it and behind it.
 */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { Vm } from "#dist/sys/node/index.js";
import { LOOK } from "#dist/vmm/observer/requests.js";
import type { RemoteVm } from "#dist/vmm/registry/remote-vm.js";
import { vivCommand } from "./contenders.ts";
import { geometricMean, median, quantile } from "./statistics.ts";

/** Work without end for the guest's shell, which says so after each piece of some milliseconds. */
const WORKS = {
  hash: "while :; do md5sum /bin/busybox >/dev/null; echo; done",
  compress: "head -c 30000 /bin/busybox >/tmp/b; while :; do gzip -c /tmp/b >/dev/null; echo; done",
  shell: "while :; do i=0; while [ $i -lt 500 ]; do i=$((i+1)); done; echo; done",
  sort: "od -v /bin/busybox | head -500 >/tmp/s; while :; do sort /tmp/s >/dev/null; echo; done",
  "system calls": "while :; do dd if=/dev/zero of=/dev/null bs=1 count=4000 2>/dev/null; echo; done",
  "fork and exec": "while :; do /bin/true; /bin/true; echo; done",
} as const;

const FREQUENCY = 999;
const NS_PER_S = 1e9;
const TURN_MS = 500;
/** Until what was just begun or ended has no part in it: symbols are read, compiled code of our own is made anew. */
const SETTLE_MS = 500;
/** Until the guest's code is compiled. */
const WARM_MS = 8000;

export interface WatchedCost {
  readonly name: string;
  /** Elapsed time with samples to that without, of each turn. */
  readonly ratios: readonly number[];
}

export async function measureWatched(
  node: string,
  turns: number,
  progress: (text: string) => void,
): Promise<WatchedCost[]> {
  const name = `bench-${process.pid}`;
  const [program = node, ...words] = vivCommand(node);
  await promisify(execFile)(program, [...words, "run", "-d", "-m", "256M", "--name", name]);
  const vm = await Vm.connect(name);
  try {
    const costs: WatchedCost[] = [];
    for (const [name, script] of Object.entries(WORKS)) {
      progress(`watched: ${name}`);
      costs.push({ name, ratios: await ratiosOf(vm, script, turns) });
    }
    return costs;
  } finally {
    await vm.stop();
  }
}

/** The medians' geometric mean. */
export const meanCost = (costs: readonly WatchedCost[]): number =>
  geometricMean(costs.map(({ ratios }) => median(ratios)));

export const quartiles = (ratios: readonly number[]): readonly [number, number] => [
  quantile(ratios, 0.25),
  quantile(ratios, 0.75),
];

async function ratiosOf(vm: RemoteVm, script: string, turns: number): Promise<number[]> {
  let pieces = 0;
  let said = (): void => undefined;
  const work = vm.run(["sh", "-c", script], {
    onStdout: (bytes) => {
      pieces += bytes.length;
      said();
    },
  });
  const next = () => new Promise<void>((resolve) => (said = resolve));
  /** Milliseconds a piece takes now. */
  const turn = async (): Promise<number> => {
    await pause(SETTLE_MS);
    await next();
    const [before, since] = [pieces, performance.now()];
    for (;;) {
      await next();
      const elapsed = performance.now() - since;
      if (elapsed >= TURN_MS) return elapsed / (pieces - before);
    }
  };
  await pause(WARM_MS);
  const ratios: number[] = [];
  let before = await turn();
  for (let i = 0; i < turns; i++) {
    const pending = vm.connection.request(
      LOOK.record,
      { event: "cpu-clock", period: NS_PER_S / FREQUENCY, callGraph: true, every: 0 },
      { output: { parts: () => undefined } },
    );
    const watched = await turn();
    pending.send({ stop: true });
    await pending.answer;
    const behind = await turn();
    ratios.push((2 * watched) / (before + behind));
    before = behind;
  }
  work.signal("KILL");
  await work.result;
  return ratios;
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
