/** `viv perf annotate`. */
import { VivError } from "../../base/index.ts";
import { annotate, annotationTargets, targetLines } from "../../perf/report/annotate.ts";
import { annotationText } from "../../perf/report/annotate-text.ts";
import { FrameNames } from "../../perf/report/frame-names.ts";
import { EXIT } from "../exit-status.ts";
import { printLines } from "./lines.ts";
import { filterOf } from "./options.ts";
import type { PerfPorts } from "./ports.ts";
import type { AnnotateFlags } from "./program.ts";

export async function annotateCommand(ports: PerfPorts, symbol: string, flags: AnnotateFlags): Promise<number> {
  const filter = filterOf(flags);
  const { profile, codeOf } = await ports.open(flags.input);
  const names = new FrameNames(profile);
  const named = annotationTargets(names, symbol, filter);
  const address = flags.address === undefined ? undefined : addressOf(flags.address);
  const targets = address === undefined ? named : named.filter((target) => startOf(target.symbol) === address);
  function startOf(index: number): bigint {
    return BigInt.asUintN(64, BigInt(profile.symbols[index]!.start));
  }
  const [target, another] = targets;
  if (target === undefined) {
    const where = address === undefined ? "" : ` at ${flags.address}`;
    throw new VivError(
      "perf.symbol",
      `no samples in a function ${symbol}${where}: viv perf report names those that have some`,
    );
  }
  if (another !== undefined) {
    await printLines(targetLines(names, targets));
    throw new VivError(
      "perf.symbol",
      `${targets.length} functions are named ${symbol}: choose with --address, --guest or --dso`,
    );
  }
  const annotation = codeOf && annotate(names, target.symbol, codeOf, filter);
  if (annotation === undefined) throw new VivError("perf.code", `the recording has no code of ${symbol}`);
  await printLines(annotationText(annotation, profile.info.unit));
  return EXIT.ok;
}

function addressOf(text: string): bigint {
  if (!/^(0x)?[0-9a-f]{1,16}$/i.test(text)) {
    throw new VivError("usage.perf", `--address ${text} is no address: give it in hexadecimal, as 0x401000`);
  }
  return BigInt(`0x${text.replace(/^0x/i, "")}`);
}
