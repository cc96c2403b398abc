/** The benchmark's part `browser` alone: node dist/bench/browser-main.js [--percent N] [--repetitions N] [--json] [kernel...]. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { buildDefaultGuest } from "#dist/image/index.js";
import { guestPorts } from "#dist/sys/node/index.js";
import { browserReport, measureBrowser } from "./browser.ts";
import { buildProgram } from "./build.ts";
import { BASELINE_MODEL, type Subject } from "./contenders.ts";

const { values: flags, positionals: only } = parseArgs({
  allowPositionals: true,
  options: {
    percent: { type: "string", default: "20" },
    repetitions: { type: "string", default: "3" },
    json: { type: "boolean", default: false },
  },
});
const progress = (text: string): void => void process.stderr.write(`${text}\n`);
const directory = await mkdtemp(join(tmpdir(), "vivarium-bench-"));
try {
  const percent = Number(flags.percent);
  const program = await buildProgram({ directory, programs: false, percent, baseline: true, refresh: false, progress });
  const guest = await buildDefaultGuest(guestPorts());
  const [kernel, initrd] = [join(directory, "kernel"), join(directory, "initrd")];
  await writeFile(kernel, guest.kernel);
  const subject: Subject = {
    program,
    guest,
    kernel,
    initrd,
    bareKernel: "",
    cpu: BASELINE_MODEL,
    node: process.execPath,
    nodeFlags: [],
  };
  const wanted = only.length > 0 ? only : ["kernels"];
  const plan = { percent, repetitions: Number(flags.repetitions), rounds: 3, wanted, progress };
  const { items, failures } = await measureBrowser(subject, plan);
  process.stdout.write(flags.json ? `${JSON.stringify(items, undefined, 2)}\n` : browserReport(items));
  for (const failure of failures) progress(`FAILED: ${failure}`);
  if (failures.length > 0) process.exitCode = 1;
} finally {
  await rm(directory, { recursive: true, force: true });
}
