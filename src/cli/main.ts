#!/usr/bin/env -S node --v8-pool-size=1
/** The `viv` command. What it does is loaded when V8 has its flags and a machine's worker, which takes longer to load, is on its way. */
import { makeWorkerAhead } from "../sys/node/worker.ts";
import { setV8Flags } from "./v8-flags.ts";

setV8Flags();
const argv = process.argv.slice(2);
if (argv[0] === "run") makeWorkerAhead();
const { runArguments } = await import("./command.ts");
process.exit(await runArguments(argv));
