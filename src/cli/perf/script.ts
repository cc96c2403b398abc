/** `viv perf script`. */
import { FrameNames } from "../../perf/report/frame-names.ts";
import { scriptLines } from "../../perf/report/script.ts";
import { EXIT } from "../exit-status.ts";
import { printLines } from "./lines.ts";
import { filterOf } from "./options.ts";
import type { PerfPorts } from "./ports.ts";
import type { ScriptFlags } from "./program.ts";

export async function scriptCommand(ports: PerfPorts, flags: ScriptFlags): Promise<number> {
  const filter = filterOf(flags);
  const { profile } = await ports.open(flags.input);
  await printLines(scriptLines(new FrameNames(profile), filter));
  return EXIT.ok;
}
