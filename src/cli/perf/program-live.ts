/** The commands of `viv perf` that watch guests which run, as commander sees them. */
import { type Command, InvalidArgumentError, Option } from "commander";
import {
  RECORD_EVENT_NAMES,
  RECORD_EVENTS,
  type RecordEvent,
  WATCH_SECONDS,
} from "../../vmm/observer/watch-options.ts";
import { DEFAULT_RECORDING } from "./options.ts";
import type { RecordFlags, SamplingFlags } from "./record.ts";
import type { StatFlags } from "./stat.ts";
import type { TopFlags } from "./top.ts";

const numberFrom =
  ({ least, most }: { readonly least: number; readonly most: number }, what: string) =>
  (given: string): number => {
    const value = Number(given);
    if (given.trim() !== "" && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`Give ${what} from ${least} to ${most}.`);
  };
const seconds = numberFrom(WATCH_SECONDS, "seconds");
/** The same of all events that have one. */
const { frequency } = RECORD_EVENTS["cpu-clock"];
const { period } = RECORD_EVENTS.instructions;

const guestsOf = (command: Command): Command =>
  command
    .argument("[name...]", "guests; without any, all of them")
    .option("-a, --all", "all guests", false)
    .option("--seconds <n>", "stop after so long", seconds);

interface Sampling {
  readonly event: RecordEvent;
  readonly freq?: number;
  readonly count?: number;
}
const samplingOf = (command: Command, events: readonly string[]): Command =>
  command
    .addOption(new Option("-e, --event <event>", "what to sample by").choices(events).default(events[0]))
    .option("-F, --freq <n>", "samples a second", numberFrom(frequency, "samples a second"))
    .option("-c, --count <n>", "with -e instructions: one in so many", numberFrom(period, "instructions"));

const ratesOf = ({ event, freq, count }: Sampling): SamplingFlags => ({ event, frequency: freq, period: count });

const STAT_HELP = `
Counted beside the exits, of every guest:
  instructions  that were retired
  interrupts    that were taken
  exceptions that left guest code
                others are delivered without leaving it
  TLB misses    walks of page tables that led to a page, for accesses to data and fetches of code
                that the vCPU's TLB had no entry for, or none that allows them: the first store to a
                clean page, each store to a page with code, each access to a device, and both halves
                of an access across two pages. Not counted are walks that ended in a page fault
`;

/** `command`: what came after --. */
export function addLivePerfCommands(
  perf: Command,
  command: readonly string[] | undefined,
  run: (status: Promise<number>) => void,
): void {
  samplingOf(guestsOf(perf.command("record")), RECORD_EVENT_NAMES)
    .description("sample guests until Ctrl-C, for some seconds, or while a command of the host runs")
    .usage("[options] [name...] [-- command...]")
    .option("-g, --call-graph", "with callers (the default; --no-call-graph: without)", true)
    .addOption(new Option("--no-call-graph").hideHelp())
    .option("--off-cpu", "sample where waiting tasks wait instead, as -e off-cpu")
    .option("-o, --output <dir>", "where the recording goes; one that is there is kept as DIR.old", DEFAULT_RECORDING)
    .action(
      (
        names: string[],
        flags: Sampling & Pick<RecordFlags, "callGraph" | "output" | "all"> & { seconds?: number; offCpu?: true },
      ) => {
        const event = flags.offCpu ? "off-cpu" : flags.event;
        const { callGraph, output, all } = flags;
        const options: RecordFlags = {
          ...ratesOf({ ...flags, event }),
          callGraph,
          output,
          all,
          seconds: flags.seconds,
        };
        run(import("./record.ts").then(({ recordCommand }) => recordCommand(names, options, command)));
      },
    );

  samplingOf(
    perf
      .command("top")
      .argument("[name...]", "guests; without any, all of them")
      .option("-a, --all", "all guests", false),
    ["cpu-clock", "instructions"],
  )
    .description("where guests are right now, on this terminal")
    .option("-d, --delay <seconds>", "between two looks", seconds, 2)
    .option("-s, --sort <keys>", "what makes a row")
    .action((names: string[], flags: Sampling & Pick<TopFlags, "all" | "delay"> & { sort?: string }) => {
      const { all, delay, sort } = flags;
      const options: TopFlags = { ...ratesOf(flags), all, delay, ...(sort === undefined ? {} : { sort }) };
      run(import("./top.ts").then(({ topCommand }) => topCommand(names, options)));
    });

  guestsOf(perf.command("stat"))
    .description("count why guests leave guest code, how often and for how long")
    .usage("[options] [name...] [-- command...]")
    .addOption(new Option("--sort <by>", "order of the reasons").choices(["time", "samples"]).default("time"))
    .option("--histogram", "how long exits took, in powers of two", false)
    .option("--json", "as JSON", false)
    .addHelpText("after", STAT_HELP)
    .action((names: string[], flags: StatFlags) => {
      run(import("./stat.ts").then(({ statCommand }) => statCommand(names, flags, command)));
    });
}
