/** `viv perf report`. */
import { annotationLines } from "../../perf/report/annotate-text.ts";
import { Browser } from "../../perf/report/browser.ts";
import { FrameNames } from "../../perf/report/frame-names.ts";
import { defaultOptions, hasCallers, type ReportOptions, report } from "../../perf/report/rows.ts";
import { GRAPH_LIMIT, reportLines } from "../../perf/report/text.ts";
import { EXIT } from "../exit-status.ts";
import { printLines } from "./lines.ts";
import { callGraphOf, filterOf, percent, sortOf } from "./options.ts";
import type { PerfPorts, Recording } from "./ports.ts";
import type { ReportFlags } from "./program.ts";
import { isInteractive, showView } from "./terminal.ts";

export async function reportCommand(ports: PerfPorts, flags: ReportFlags): Promise<number> {
  const graph = callGraphOf(typeof flags.callGraph === "string" ? flags.callGraph : "");
  const filter = filterOf(flags);
  const sort = flags.sort === undefined ? undefined : sortOf(flags.sort);
  const percentLimit = flags.percentLimit === undefined ? 0 : percent("--percent-limit", flags.percentLimit);
  const recording = await ports.open(flags.input);
  const { profile } = recording;
  const stacks = hasCallers(profile);
  const usual = defaultOptions(profile);
  const children = stacks && (flags.children ?? usual.children);
  const options: ReportOptions = {
    sort: sort ?? usual.sort,
    children,
    graph: stacks && graph.shown,
    order: graph.order ?? (children ? "caller" : "callee"),
    filter,
    relative: flags.percentage === "relative",
  };
  if (flags.stdio !== true && isInteractive()) return await browse(recording, options);
  const graphLimit = options.graph ? { graphLimit: graph.limit ?? GRAPH_LIMIT } : {};
  const samples = flags.showNrSamples === true;
  await printLines(reportLines(report(profile, options), { percentLimit, samples, ...graphLimit }));
  return EXIT.ok;
}

async function browse({ profile, codeOf }: Recording, options: ReportOptions): Promise<number> {
  // The tables of all instructions take their time to load: not before someone wants to see code, which is not at once.
  const { annotate, annotationTitle } = await import("../../perf/report/annotate.ts");
  const names = new FrameNames(profile);
  const browser = new Browser(profile, options, (symbol) => {
    const annotation = codeOf && annotate(names, symbol, codeOf, options.filter);
    if (annotation === undefined) return { problem: `The recording has no code of ${annotationTitle(names, symbol)}` };
    return { title: annotationTitle(names, symbol), lines: annotationLines(annotation) };
  });
  return await showView(browser);
}
