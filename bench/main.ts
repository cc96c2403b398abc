/**
 * The benchmark: the same programs natively, in a guest under Vivarium's software CPU, and in a guest under QEMU's TCG with the same kernel
 * and initramfs, taking turns in one run. See docs/performance.md.
 */
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { MiB } from "#dist/base/index.js";
import { buildDefaultGuest } from "#dist/image/index.js";
import { guestPorts } from "#dist/sys/node/index.js";
import { measureBare } from "./bare.ts";
import { measureBoot } from "./boot.ts";
import { measureBrowser } from "./browser.ts";
import { buildBareKernel, buildProgram } from "./build.ts";
import {
  BASELINE_MODEL,
  CONTENDERS,
  type Contender,
  CPU_MODELS,
  commandOf,
  GUEST_MEMORY_MIB,
  kernelCommandLine,
  type Subject,
} from "./contenders.ts";
import { verdicts } from "./goals.ts";
import { describeHost, type Host } from "./host.ts";
import type { InstructionCounts } from "./instructions.ts";
import { type Measured, measureItems } from "./items.ts";
import { measureMemory } from "./memory.ts";
import { PROGRAMS } from "./programs.ts";
import { type Results, report } from "./report.ts";
import { summarise } from "./summary.ts";
import { measureWatched } from "./watched.ts";

const PARTS = ["kernels", "system", "programs", "boot", "v86", "memory", "browser", "instructions", "watched"];
/** What is measured by running it in all three. */
const SETS = ["kernels", "system", "programs"];
const DEFAULT_PARTS = ["kernels", "system", "programs", "boot", "v86", "memory"];

const HELP = `npm run bench -- [options] [item...]
  --quick          less work, fewer repetitions: under three minutes
  --parts LIST     of ${PARTS.join(",")}
                   (default: all but browser, instructions and watched; with items named, these alone)
  --against LIST   of native,vivarium,qemu,v86 (default: all)
  --percent N      size of the work
  --repetitions N  processes of each contender; of watched, turns
  --minutes N      length of the load for memory
  --cpu MODEL      of ${Object.keys(CPU_MODELS).join(",")} (default: ${BASELINE_MODEL})
  --node PATH      the Node that runs Vivarium and v86 (default: this one)
  --node-flags F   for that Node, as --node-flags=--no-liftoff
  --refresh        the newest packages of the distribution, not those of an earlier run
  --viv-flags F    for viv run, as --viv-flags=--jit=off
  --json           results as JSON
Items are kernels, system items and programs by name, as alu, fork, sqlite.
`;
/**
 * `bareShare` is how much of the kernels' work the 32-bit machine does: little with full work, as v86 is slow. With little work no less
 * than elsewhere, as nothing rests around an item there: of a thread that runs, the host's CPU time is as old as its last tick.
 */
const FULL = {
  percent: 100,
  bareShare: 0.25,
  repetitions: 5,
  boots: 5,
  rounds: 3,
  programRounds: 1,
  minutes: 5,
  turns: 40,
};
const QUICK = {
  percent: 2,
  bareShare: 1,
  repetitions: 1,
  boots: 1,
  rounds: 3,
  programRounds: 1,
  minutes: 0.25,
  turns: 5,
};

const { values: flags, positionals: only } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: "boolean", default: false },
    parts: { type: "string" },
    against: { type: "string", default: [...CONTENDERS, "v86"].join(",") },
    percent: { type: "string" },
    repetitions: { type: "string" },
    minutes: { type: "string" },
    cpu: { type: "string", default: BASELINE_MODEL },
    node: { type: "string", default: process.execPath },
    "node-flags": { type: "string", default: "" },
    "viv-flags": { type: "string", default: "" },
    refresh: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

const defaults = flags.quick ? QUICK : FULL;
const percent = Number(flags.percent ?? defaults.percent);
const repetitions = Number(flags.repetitions ?? defaults.repetitions);
const against = flags.against.split(",");
const parts = flags.parts?.split(",") ?? (only.length > 0 ? SETS : DEFAULT_PARTS);
const progress = (text: string): void => void process.stderr.write(`${text}\n`);

function complaint(): string | undefined {
  const unknown = parts.find((part) => !PARTS.includes(part));
  if (unknown !== undefined) return `no part "${unknown}": there are ${PARTS.join(", ")}`;
  const stranger = against.find((who) => ![...CONTENDERS, "v86"].includes(who));
  if (stranger !== undefined) return `nobody is called "${stranger}": there are ${CONTENDERS.join(", ")}, v86`;
  if (!(flags.cpu in CPU_MODELS)) return `no model "${flags.cpu}": there are ${Object.keys(CPU_MODELS).join(", ")}`;
  if (![percent, repetitions, Number(flags.minutes ?? 1)].every((n) => n > 0)) return "numbers have to be above 0";
  return undefined;
}

const words = (text: string): readonly string[] => text.split(" ").filter((word) => word !== "");

/** What of the parts is run by the program: sets, or the items named. */
const wanted = (): readonly string[] => (only.length > 0 ? only : parts.filter((part) => SETS.includes(part)));

async function makeSubject(directory: string): Promise<Subject> {
  const programs =
    (parts.includes("programs") && (only.length === 0 || PROGRAMS.some(({ name }) => only.includes(name)))) ||
    parts.includes("memory");
  const program = await buildProgram({
    directory,
    programs,
    percent,
    baseline: flags.cpu === BASELINE_MODEL,
    refresh: flags.refresh,
    progress,
  });
  const guest = await buildDefaultGuest(guestPorts());
  const initrd = join(directory, "initrd");
  await writeFile(initrd, guest.initrd);
  return {
    program,
    guest,
    kernel: guest.kernel,
    initrd,
    bareKernel: parts.includes("v86") ? await buildBareKernel(directory) : "",
    cpu: flags.cpu,
    node: flags.node,
    nodeFlags: words(flags["node-flags"]),
    vivFlags: words(flags["viv-flags"]),
  };
}

function measureSets(subject: Subject): Promise<Measured<Contender>> {
  const { rounds, programRounds } = defaults;
  return measureItems({
    title: wanted().join(", "),
    contenders: CONTENDERS.filter((contender) => against.includes(contender)),
    repetitions,
    command: (contender) => {
      const numbers = [percent, rounds, programRounds, 0];
      return commandOf(contender, subject, [...numbers.map(String), ...wanted()]);
    },
    countsItself: "native",
    clock: true,
    progress,
  });
}

/** Some 15,000 million instructions of full work, by the interpreter. */
const COUNTING_MS = 1_800_000;

async function countInstructions({ kernel, program, guest, cpu }: Subject): Promise<InstructionCounts> {
  progress("counting instructions");
  const script = fileURLToPath(new URL("./instructions.js", import.meta.url));
  const commandLine = kernelCommandLine(guest, [String(percent), "1", "0", "0", "kernels"]);
  const args = [script, kernel, program.smallInitrd, commandLine, String(GUEST_MEMORY_MIB * MiB), cpu];
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: COUNTING_MS });
  return JSON.parse(stdout) as InstructionCounts;
}

/** Below this share of the processors, other work does not get in our way. */
const QUIET_LOAD = 0.5;

const busyHost = ({ loadBefore, processors }: Host): string[] =>
  loadBefore > processors * QUIET_LOAD
    ? ["the host was busy when the run began: elapsed times measure the neighbours too, go by CPU time"]
    : [];

async function run(directory: string): Promise<void> {
  const subject = await makeSubject(directory);
  const host = describeHost(subject);
  const measured = parts.some((part) => SETS.includes(part)) ? await measureSets(subject) : undefined;
  for (const name of only) {
    if (measured?.items.every((item) => item.name !== name)) measured.failures.push(`there is no item "${name}"`);
  }
  const barePlan = {
    percent,
    share: defaults.bareShare,
    repetitions,
    rounds: defaults.rounds,
    contenders: against,
    progress,
  };
  const bare = parts.includes("v86") ? await measureBare(subject, barePlan) : undefined;
  const boots = Number(flags.repetitions ?? defaults.boots);
  const boot = parts.includes("boot") ? await measureBoot(subject, boots, progress) : undefined;
  const minutes = Number(flags.minutes ?? defaults.minutes);
  const memory = parts.includes("memory")
    ? await measureMemory(subject, { minutes, sets: SETS, percent, contenders: against, progress })
    : undefined;
  const browserPlan = {
    percent,
    repetitions,
    rounds: defaults.rounds,
    wanted: only.length > 0 ? only : ["kernels"],
    progress,
  };
  const browser = parts.includes("browser") ? await measureBrowser(subject, browserPlan) : undefined;
  const instructions = parts.includes("instructions") ? await countInstructions(subject) : undefined;
  const turns = Number(flags.repetitions ?? defaults.turns);
  const watched = parts.includes("watched") ? await measureWatched(subject.node, turns, progress) : undefined;
  host.loadAfter = loadavg()[0]!;

  const results: Results = {
    host,
    quick: flags.quick,
    items: [...(measured?.items ?? []), ...(bare?.items ?? []), ...(browser?.items ?? [])],
    ...(measured && { summary: summarise(measured.items) }),
    ...(bare && { bare: summarise(bare.items) }),
    ...(browser && { browser: summarise(browser.items) }),
    ...(instructions && { instructions }),
    ...(boot && { boot }),
    ...(memory && { memory }),
    ...(watched && { watched }),
    warnings: [
      ...busyHost(host),
      ...(measured?.warnings ?? []),
      ...(bare?.warnings ?? []),
      ...(browser?.warnings ?? []),
    ],
    failures: [...(measured?.failures ?? []), ...(bare?.failures ?? []), ...(browser?.failures ?? [])],
  };
  const all = verdicts(results);
  process.stdout.write(
    flags.json ? `${JSON.stringify({ ...results, verdicts: all }, undefined, 2)}\n` : report(results, all),
  );
  if (results.failures.length > 0) process.exitCode = 1;
}

const wrong = complaint();
if (flags.help) {
  process.stdout.write(HELP);
} else if (wrong !== undefined) {
  process.stderr.write(`bench: ${wrong}\n`);
  process.exitCode = 2;
} else {
  const directory = await mkdtemp(join(tmpdir(), "vivarium-bench-"));
  try {
    await run(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
