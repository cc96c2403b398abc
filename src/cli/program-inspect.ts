/** `viv inspect` as commander sees it. */
import { Argument, type Command } from "commander";
import { INSPECTION_NAMES, type Inspection } from "../vmm/observer/inspections.ts";

const HELP = `
What can be looked at:
  tasks         processes: state, CPU time, user, command (--tree, --threads)
  stack PID     where its threads wait, in the kernel and in their own code
  maps PID      its memory, as /proc/PID/maps
  files PID     what it has open
  ls [PATH]     a directory, as far as the guest's kernel remembers it
  cat PATH      a file, out of the guest's page cache
  modules, dmesg, mounts, net
  names         host name and kernel

The guest runs on and is not asked; all of it is what its memory says.
`;

export function addInspectCommand(program: Command, run: (status: Promise<number>) => void): void {
  program
    .command("inspect")
    .description("what runs inside a guest, read out of its memory")
    .argument("<name>", "the guest's name, or the beginning of its id")
    .addArgument(new Argument("<what>", "see below").choices([...INSPECTION_NAMES, "cat"]))
    .argument("[pid-or-path]", "where it takes one")
    .option("--tree", "of tasks: children below their parents", false)
    .option("--threads", "of tasks: each thread a line", false)
    .option("--json", "as JSON", false)
    .allowExcessArguments(false)
    .addHelpText("after", HELP)
    .action(
      (
        name: string,
        what: Inspection | "cat",
        argument: string | undefined,
        flags: { tree: boolean; threads: boolean; json: boolean },
      ) => {
        run(import("./inspect.ts").then(({ inspectCommand }) => inspectCommand(name, what, argument, flags)));
      },
    );
}
