/** The command line as commander sees it. The flags of a machine come from the configuration's table. */

import { Command, Option } from "commander";
import { version } from "../sys/node/version.ts";
import { CONFIG_ROWS, describeRow, type MachineConfig } from "../vmm/config.ts";
import { addPerfCommands } from "./perf/program.ts";
import { addLivePerfCommands } from "./perf/program-live.ts";
import { RECORDINGS } from "./perf/recordings.ts";
import { addGuestCommands, type GuestActions } from "./program-guests.ts";
import { addInspectCommand } from "./program-inspect.ts";
import type { Verbosity } from "./verbosity.ts";

/** What each command does; `main.ts` brings the real ones, tests others. Each returns the exit status. */
export interface Actions extends GuestActions {
  runCommand(config: MachineConfig, command: readonly string[], verbosity: Verbosity): Promise<number>;
  runConsole(config: MachineConfig, verbosity: Verbosity): Promise<number>;
  runDetached(config: MachineConfig, command: readonly string[], verbosity: Verbosity): Promise<number>;
  listImages(options: { json: boolean }): Promise<number>;
  buildImage(options: { quiet: boolean; json: boolean }): Promise<number>;
  removeImages(images: readonly string[]): Promise<number>;
  doctor(options: { json: boolean }): Promise<number>;
}

interface Streams {
  out(text: string): void;
  err(text: string): void;
}

const EXAMPLES = `
Examples:
  viv run                                     a shell in the default guest
  viv run -- uname -a                         one command in it; its exit status is ours
  viv run -d --name web -- httpd -f           a guest that goes on by itself; viv ps, logs, exec and stop find it
  viv run --kernel bzImage --initrd root.gz --append console=ttyS0
  viv inspect web tasks                       what runs inside, read out of its memory
  viv perf record --seconds 10 web            where its time goes; viv perf report shows it
`;

const LOCKSTEP =
  "viv: in lockstep with the interpreter: a few times slower, or a hundred times with few instructions between comparisons\n";

/** Commander writes suggestions on a line of their own; an error of ours is one line. */
const oneLine = (text: string): string =>
  `viv: ${text
    .replace(/^error: /, "")
    .trim()
    .replaceAll("\n", " ")}\n`;

/** Runs one command line (without node and the script) and returns the exit status. Throws CommanderError. */
export async function runProgram(argv: readonly string[], actions: Actions, streams: Streams): Promise<number> {
  // What follows -- is the guest's, whatever it looks like.
  const split = argv.indexOf("--");
  const ours = split < 0 ? argv : argv.slice(0, split);
  const command = split < 0 ? undefined : argv.slice(split + 1);
  let status: Promise<number> | undefined;

  const program = new Command("viv")
    .description("Runs x86-64 virtual machines")
    .version(version(), "-V, --version")
    .addHelpText("after", EXAMPLES)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => streams.out(text),
      writeErr: (text) => streams.err(text),
      outputError: (text, write) => write(oneLine(text)),
    });

  const run = program
    .command("run")
    .description("run a machine: a shell, a command, or a kernel of yours")
    .usage("[options] [-- command...]")
    .allowExcessArguments(false)
    .option("-d, --detach", "leave the guest running, and print its name")
    .option("-q, --quiet", "say nothing but errors")
    .option("-v, --verbose", "show the guest's console too, and causes of errors")
    .option("--json", "what --stats and --detach print: as JSON");
  for (const [, row] of CONFIG_ROWS) {
    const flags = "short" in row && row.short !== undefined ? `${row.short}, ${row.flag}` : row.flag;
    if (row.kind === "switch") run.addOption(new Option(flags, describeRow(row)));
    else if (row.kind === "count") {
      run.addOption(new Option(`${flags} [${row.value}]`, describeRow(row)).preset(row.bare));
    } else run.addOption(new Option(`${flags} <${row.value}>`, describeRow(row)));
  }
  run.action((flags: Record<string, unknown>) => {
    const { detach, quiet, verbose, json: asJson, ...rest } = flags;
    const verbosity = { quiet: quiet === true, verbose: verbose === true, ...(asJson === true ? { json: true } : {}) };
    // Commander names an option as its row is named: --on-reset is onReset.
    const config = rest as MachineConfig;
    if (!verbosity.quiet && Number(config.lockstep ?? 0) > 0) streams.err(LOCKSTEP);
    if (command !== undefined && command.length > 0) {
      status = (detach === true ? actions.runDetached : actions.runCommand)(config, command, verbosity);
    } else if (command === undefined) {
      status = detach === true ? actions.runDetached(config, [], verbosity) : actions.runConsole(config, verbosity);
    } else run.error("error: no command after --: name one, as in viv run -- uname -a");
  });

  const runs = (ends: Promise<number>): void => {
    status = ends;
  };
  addGuestCommands(program, actions, command, runs);
  const perf = addPerfCommands(program, runs, RECORDINGS);
  addLivePerfCommands(perf, command, runs);
  addInspectCommand(program, runs);

  const image = program.command("image").description("the default guest's images");
  const json = ["--json", "as JSON"] as const;
  image
    .command("ls")
    .description("list them")
    .option(...json)
    .action((flags: { json?: true }) => {
      status = actions.listImages({ json: flags.json === true });
    });
  image
    .command("build")
    .description("build the default guest's from the newest packages")
    .option("-q, --quiet", "say nothing but errors")
    .option(...json)
    .action((flags: { quiet?: true; json?: true }) => {
      status = actions.buildImage({ quiet: flags.quiet === true, json: flags.json === true });
    });
  image
    .command("rm")
    .description("remove images")
    .argument("<image...>", "name, or name@version")
    .action((images: string[]) => {
      status = actions.removeImages(images);
    });

  program
    .command("doctor")
    .description("what this host offers, and which accelerator runs guests on it")
    .option(...json)
    .action((flags: { json?: true }) => {
      status = actions.doctor({ json: flags.json === true });
    });

  const [first = "", second = ""] = ours;
  const takesCommand = first === "run" || first === "exec" || (first === "perf" && ["record", "stat"].includes(second));
  if (command !== undefined && !takesCommand) {
    program.error("error: -- and a command go with viv run, viv exec, viv perf record and viv perf stat");
  }
  await program.parseAsync([...ours], { from: "user" });
  return (await status) ?? 0;
}
