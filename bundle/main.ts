/** Puts all that each of a machine's workers loads in one file, beside the modules it is made of (src/sys/node/worker.ts). */
import { fileURLToPath } from "node:url";
import { build } from "rolldown";

const at = (path: string): string => fileURLToPath(new URL(`../sys/node/${path}`, import.meta.url));

for (const worker of ["machine-worker", "copier-worker"]) {
  await build({
    input: at(`${worker}.js`),
    // A script, which V8 can keep compiled (src/sys/node/bundled-worker.ts).
    output: { file: at(`${worker}.bundle.cjs`), format: "cjs", comments: false },
    platform: "node",
  });
}
