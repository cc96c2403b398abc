/** The commands of `viv perf` on a random profile instead of a recording: what report-command.test.ts runs. `-i SEED`. */
import { Command } from "commander";
import { addPerfCommands } from "../../src/cli/perf/program.ts";
import { randomProfile } from "./random-profile.ts";

const program = new Command("viv");
let status: Promise<number> = Promise.resolve(0);
addPerfCommands(
  program,
  (running) => {
    status = running;
  },
  {
    open: (seed) =>
      Promise.resolve({ profile: randomProfile(Number(seed), { samples: 2000 }), codeOf: () => undefined }),
    writers: { numbers: () => Promise.resolve(() => ["1\n", new Uint8Array([50, 10])]) },
  },
);
await program.parseAsync();
process.exitCode = await status;
