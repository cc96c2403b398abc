/** The benchmark's part `browser` alone: node dist/bench/browser-main.js [--percent N] [--repetitions N] [--json] [kernel...]. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { buildDefaultGuest } from "#dist/image/index.js";
import { guestPorts } from "#dist/sys/node/index.js";
import { browserReport, measureBrowser } from "./browser.ts";
import { buildProgram } from "./program.ts";

const { values: flags, positionals: only } = parseArgs({
  allowPositionals: true,
  options: {
    percent: { type: "string", default: "20" },
    repetitions: { type: "string", default: "3" },
    json: { type: "boolean", default: false },
  },
});
const directory = await mkdtemp(join(tmpdir(), "vivarium-bench-"));
try {
  const program = await buildProgram(directory);
  const kernel = join(directory, "kernel");
  await writeFile(kernel, (await buildDefaultGuest(guestPorts())).kernel);
  const plan = {
    percent: Number(flags.percent),
    repetitions: Number(flags.repetitions),
    rounds: { native: 1, vivarium: 3, qemu: 1 },
    only,
  };
  const kernels = await measureBrowser({ program, kernel, nodeFlags: [] }, plan, (text) => {
    process.stderr.write(`${text}\n`);
  });
  process.stdout.write(flags.json ? `${JSON.stringify(kernels, undefined, 2)}\n` : browserReport(kernels));
} finally {
  await rm(directory, { recursive: true, force: true });
}
