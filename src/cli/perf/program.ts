/** The commands of `viv perf` as commander sees them. What they do is loaded only where it runs. */
import { type Command, Option } from "commander";
import { type FilterFlags, sortHelp, withFilters, withInput } from "./options.ts";
import type { PerfPorts } from "./ports.ts";

export interface ReportFlags extends FilterFlags {
  readonly input: string;
  readonly sort?: string;
  readonly children?: boolean;
  readonly callGraph?: string | true;
  readonly percentLimit?: string;
  readonly percentage?: "absolute" | "relative";
  readonly showNrSamples?: boolean;
  readonly stdio?: boolean;
}

export interface ScriptFlags extends FilterFlags {
  readonly input: string;
}

export interface DiffFlags extends FilterFlags {
  readonly sort?: string;
  readonly percentLimit?: string;
  readonly html?: string;
}

export interface AnnotateFlags extends FilterFlags {
  readonly input: string;
  readonly address?: string;
}

export interface ExportFlags {
  readonly input: string;
  readonly format: string;
  readonly output?: string;
}

/** Each returns the exit status. */
export interface PerfActions {
  report(flags: ReportFlags): Promise<number>;
  script(flags: ScriptFlags): Promise<number>;
  diff(baseline: string, now: string, flags: DiffFlags): Promise<number>;
  annotate(symbol: string, flags: AnnotateFlags): Promise<number>;
  export(flags: ExportFlags): Promise<number>;
}

const actionsWith = (ports: PerfPorts): PerfActions => ({
  report: async (...given) => (await import("./report.ts")).reportCommand(ports, ...given),
  script: async (...given) => (await import("./script.ts")).scriptCommand(ports, ...given),
  diff: async (...given) => (await import("./diff.ts")).diffCommand(ports, ...given),
  annotate: async (...given) => (await import("./annotate.ts")).annotateCommand(ports, ...given),
  export: async (...given) => (await import("./export.ts")).exportCommand(ports, ...given),
});

/** Adds `perf` to a program, and returns it for others to add theirs. `run` has the exit status of the command that was given. */
export function addPerfCommands(
  program: Command,
  run: (status: Promise<number>) => void,
  ports: PerfPorts,
  actions: PerfActions = actionsWith(ports),
): Command {
  const perf = program.command("perf").description("profile guests, and look at profiles");

  withFilters(withInput(perf.command("report").description("where the time went: interactive in a terminal")))
    .option("-s, --sort <keys>", sortHelp())
    .option("--children", "count what a function called as its own, too")
    .option("--no-children", "count a function's own samples only")
    .option(
      "-g, --call-graph [how]",
      "call graphs: caller, callee or none, and the smallest share to show, as callee,2",
    )
    .option("--percent-limit <percent>", "leave out rows below this share")
    .addOption(
      new Option("--percentage <of>", "shares are of all samples, or of those the filters let through").choices([
        "absolute",
        "relative",
      ]),
    )
    .option("-n, --show-nr-samples", "a column with the number of samples")
    .option("--stdio", "as plain text, in a terminal too")
    .action((flags: ReportFlags) => run(actions.report(flags)));

  withFilters(withInput(perf.command("script").description("each sample with its stack, as text"))).action(
    (flags: ScriptFlags) => run(actions.script(flags)),
  );

  const diff = withFilters(perf.command("diff").description("what changed from one recording to another"))
    .argument("[baseline]", "recording to compare with", "perf.data.old")
    .argument("[now]", "recording", "perf.data")
    .option("-s, --sort <keys>", sortHelp())
    .option("--percent-limit <percent>", "leave out rows below this share in both")
    .action((baseline: string, now: string, flags: DiffFlags) => run(actions.diff(baseline, now, flags)));
  if (ports.diffPage !== undefined) {
    diff.option("--html <file>", "write a page with a flame graph of the differences instead");
  }

  withFilters(
    withInput(perf.command("annotate").description("a function's instructions, with the samples at each")),
    "symbol",
  )
    .argument("<symbol>", "the function")
    .option("--address <hex>", "where it starts, if several have that name")
    .action((symbol: string, flags: AnnotateFlags) => run(actions.annotate(symbol, flags)));

  const formats = Object.keys(ports.writers);
  if (formats.length === 0) return perf;
  withInput(perf.command("export").description("write a recording for other tools to read"))
    .addOption(new Option("--format <format>", "of the file").choices(formats).makeOptionMandatory())
    .option("-o, --output <file>", "where to; standard output where it is not given")
    .action((flags: ExportFlags) => run(actions.export(flags)));

  return perf;
}
