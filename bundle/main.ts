/** Puts all that the machine's worker loads in one file, beside the modules it is made of (src/sys/node/worker.ts). */
import { fileURLToPath } from "node:url";
import { build } from "rolldown";

const at = (path: string): string => fileURLToPath(new URL(`../sys/node/${path}`, import.meta.url));

await build({
  input: at("machine-worker.js"),
  output: { file: at("machine-worker.bundle.js"), format: "esm" },
  platform: "node",
});
