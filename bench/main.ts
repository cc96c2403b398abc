/**
 * The benchmark: the same program natively, as a guest under Vivarium's software CPU, and as a guest under QEMU's TCG, with
 * the same kernel and initramfs, taking turns in one run. See docs/performance.md.
 */
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { MiB } from "#dist/base/index.js";
import { buildDefaultGuest } from "#dist/image/index.js";
import { guestPorts } from "#dist/sys/node/guest.js";
import { measureBoot } from "./boot.ts";
import { CONTENDERS, type Contender, GUEST_MEMORY_MIB, kernelCommandLine, type Subject } from "./contenders.ts";
import { describeHost } from "./host.ts";
import type { InstructionCounts } from "./instructions.ts";
import { type KernelPlan, measureKernels } from "./kernels.ts";
import { measureMemory } from "./memory.ts";
import { buildProgram } from "./program.ts";
import { report } from "./report.ts";

const HELP = `npm run bench -- [options] [kernel...]
  --quick          less work, fewer repetitions
  --parts LIST     of kernels,instructions,boot,memory (default: all)
  --against LIST   of native,vivarium,qemu for the kernels (default: all)
  --percent N      size of the kernels' work
  --repetitions N  processes of each contender
  --node-flags F   for the Node that runs Vivarium, as --node-flags=--no-liftoff
  --json           results as JSON
`;
const PARTS = ["kernels", "instructions", "boot", "memory"];
const FULL = { percent: 100, repetitions: 5, boots: 5, rounds: { native: 5, vivarium: 1, qemu: 3 } };
const QUICK = { percent: 20, repetitions: 1, boots: 1, rounds: { native: 9, vivarium: 3, qemu: 5 } };

const { values: flags, positionals: only } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: "boolean", default: false },
    parts: { type: "string", default: PARTS.join(",") },
    against: { type: "string", default: CONTENDERS.join(",") },
    percent: { type: "string" },
    repetitions: { type: "string" },
    "node-flags": { type: "string", default: "" },
    json: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

async function countInstructions({ kernel, program }: Subject, plan: KernelPlan): Promise<InstructionCounts> {
  const script = fileURLToPath(new URL("./instructions.js", import.meta.url));
  const commandLine = kernelCommandLine([String(plan.percent), "1", ...plan.only]);
  const args = [script, kernel, program.initrd, commandLine, String(GUEST_MEMORY_MIB * MiB)];
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 300_000 });
  return JSON.parse(stdout) as InstructionCounts;
}

async function run(directory: string): Promise<void> {
  const progress = (text: string): void => void process.stderr.write(`${text}\n`);
  const parts = flags.parts.split(",");
  const defaults = flags.quick ? QUICK : FULL;
  const repetitions = Number(flags.repetitions ?? defaults.repetitions);
  const plan: KernelPlan = { ...defaults, percent: Number(flags.percent ?? defaults.percent), repetitions, only };

  const program = await buildProgram(directory);
  const guest = await buildDefaultGuest(guestPorts());
  const kernel = join(directory, "kernel");
  await writeFile(kernel, guest.kernel);
  const nodeFlags = flags["node-flags"].split(" ").filter((flag) => flag !== "");
  const subject: Subject = { program, kernel, nodeFlags };

  const host = describeHost(program, `Debian cloud kernel, ${guest.name} ${guest.version}`);
  const kernels = parts.includes("kernels")
    ? await measureKernels(subject, plan, flags.against.split(",") as Contender[], progress)
    : undefined;
  const boot = parts.includes("boot")
    ? await measureBoot(subject, Number(flags.repetitions ?? defaults.boots), progress)
    : undefined;
  const memory = parts.includes("memory") ? await measureMemory(subject, progress) : undefined;
  if (parts.includes("instructions")) progress("counting instructions");
  const instructions = parts.includes("instructions") ? await countInstructions(subject, plan) : undefined;
  host.loadAfter = loadavg()[0]!;

  const results = {
    host,
    quick: flags.quick,
    ...(kernels && { kernels: kernels.kernels }),
    ...(instructions && { instructions }),
    ...(boot && { boot }),
    ...(memory && { memory }),
    warnings: kernels?.warnings ?? [],
  };
  process.stdout.write(flags.json ? `${JSON.stringify(results, undefined, 2)}\n` : report(results));
}

if (flags.help) {
  process.stdout.write(HELP);
} else {
  const directory = await mkdtemp(join(tmpdir(), "vivarium-bench-"));
  try {
    await run(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
