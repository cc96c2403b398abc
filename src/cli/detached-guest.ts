/** The process of a guest that `viv run -d` started (detach.ts). As main.ts: what it does is loaded when the machine's workers are on their way. */
import { makeWorkersAhead } from "../sys/node/worker.ts";
import { ENGINE_FLAGS } from "./v8-flags.ts";

makeWorkersAhead(ENGINE_FLAGS);
const { runDetachedGuest } = await import("./detached-run.ts");
process.exit(await runDetachedGuest());
