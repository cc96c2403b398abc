/** `viv perf diff`. */
import { DIFF_SORT, diffLines, diffProfiles } from "../../perf/report/diff.ts";
import { EXIT } from "../exit-status.ts";
import { writeFile } from "./export.ts";
import { printLines } from "./lines.ts";
import { filterOf, percent, sortOf } from "./options.ts";
import type { PerfPorts } from "./ports.ts";
import type { DiffFlags } from "./program.ts";

export async function diffCommand(ports: PerfPorts, baseline: string, now: string, flags: DiffFlags): Promise<number> {
  const filter = filterOf(flags);
  const sort = flags.sort === undefined ? DIFF_SORT : sortOf(flags.sort);
  const limit = flags.percentLimit === undefined ? 0 : percent("--percent-limit", flags.percentLimit);
  const [before, after] = [await ports.open(baseline), await ports.open(now)];
  if (flags.html !== undefined && ports.diffPage !== undefined) {
    const page = await ports.diffPage();
    await writeFile(flags.html, page(before, after));
    return EXIT.ok;
  }
  const rows = diffProfiles(before.profile, after.profile, { sort, filter });
  await printLines(diffLines(rows, after.profile.info.event, sort, limit));
  return EXIT.ok;
}
