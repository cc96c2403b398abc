/**
 * Puts all that each of a machine's workers loads in one file, beside the modules it is made of (src/sys/node/worker.ts), and the program of
 * the flame graph's page in one that the page can hold (src/sys/node/flame-page.ts).
 */
import { fileURLToPath } from "node:url";
import { build } from "rolldown";

const at = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));

for (const worker of ["machine-worker", "copier-worker"]) {
  await build({
    input: at(`sys/node/${worker}.js`),
    // A script, which V8 can keep compiled (src/sys/node/bundled-worker.ts).
    output: { file: at(`sys/node/${worker}.bundle.cjs`), format: "cjs", comments: false },
    platform: "node",
  });
}

await build({
  input: at("web/flame/page/main.js"),
  output: { file: at("sys/node/flame-page.bundle.js"), format: "iife", minify: true },
  platform: "browser",
});
