/**
 * Puts all that each of a machine's workers loads in one file, beside the modules it is made of (src/sys/node/worker.ts), the command in one for
 * what always runs and one for each part (src/cli/main.ts), and the program of the flame graph's page in one that the page can hold
 * (src/sys/node/flame-page.ts).
 */
import { rmSync } from "node:fs";
import { dirname, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "rolldown";

const at = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));

for (const worker of ["machine-worker", "copier-worker", "observer-worker"]) {
  await build({
    input: at(`sys/node/${worker}.js`),
    // A script, which V8 can keep compiled (src/sys/node/kept-script.ts).
    output: { file: at(`sys/node/${worker}.bundle.cjs`), format: "cjs", comments: false },
    platform: "node",
  });
}

await build({
  input: at("web/flame/page/main.js"),
  output: { file: at("sys/node/flame-page.bundle.js"), format: "iife", minify: true },
  platform: "browser",
});

/** What the commands that ask a guest need, and little else: in one file. What the others do comes in files of its own. */
const CONTROL = new RegExp(
  [
    "dist/base/",
    "dist/cli/(command|program|output|exit-status|options|names|inspect|ps|guest-commands|logs|interruption)\\.js",
    "dist/vmm/(registry/|config\\.js|observer/(inspections|observed-guest|remote-observer|guest-file|handover|watch-options|requests|parts)\\.js|sampling/)",
    "dist/sys/node/(registry/(?!listing)|version|cpu-time)",
    "/commander/",
  ].join("|"),
);
// What loads that: Node takes 10 ms more for a module.
await build({
  input: at("cli/main.js"),
  output: { file: at("cli/main.cjs"), format: "cjs", comments: false },
  platform: "node",
});

const command = at("cli/bundle/start.cjs");
rmSync(dirname(command), { recursive: true, force: true });
await build({
  input: at("cli/start.js"),
  output: {
    dir: dirname(command),
    format: "cjs",
    comments: false,
    entryFileNames: "[name].cjs",
    chunkFileNames: "[name].cjs",
    codeSplitting: { groups: [{ name: "control", test: CONTROL }] },
  },
  checks: { ineffectiveDynamicImport: false },
  platform: "node",
  plugins: [
    {
      name: "own addresses",
      // What lies beside a module lies beside it still.
      transform(code, id) {
        const place = JSON.stringify(relative(dirname(command), id));
        return code.replaceAll("import.meta.url", `new URL(${place}, import.meta.url).href`);
      },
    },
  ],
});
