/** The commands on guests that run already, as commander sees them. */
import { type Command, InvalidArgumentError } from "commander";

export interface ExecFlags {
  readonly stdin: boolean;
  readonly env: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

export interface GuestActions {
  listGuests(options: { quiet: boolean; json: boolean }): Promise<number>;
  attach(name: string): Promise<number>;
  execute(name: string, command: readonly string[], flags: ExecFlags): Promise<number>;
  /** `grace`: milliseconds that a guest has to shut down. */
  stop(names: readonly string[], grace: number): Promise<number>;
  kill(names: readonly string[]): Promise<number>;
  pause(names: readonly string[]): Promise<number>;
  resume(names: readonly string[]): Promise<number>;
  logs(name: string, options: { follow: boolean }): Promise<number>;
}

/** As docker has it. */
const STOP_SECONDS = 10;
/** A day: what a timer can wait for. */
const MOST_SECONDS = 86_400;

function seconds(given: string): number {
  const value = Number(given);
  if (given.trim() !== "" && value >= 0 && value <= MOST_SECONDS) return value;
  throw new InvalidArgumentError("Give a number of seconds.");
}

function variable(given: string, before: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const at = given.indexOf("=");
  if (at < 1) throw new InvalidArgumentError("Give NAME=VALUE.");
  return { ...before, [given.slice(0, at)]: given.slice(at + 1) };
}

/** `command`: what came after --. `run` is given what the chosen action returns. */
export function addGuestCommands(
  program: Command,
  actions: GuestActions,
  command: readonly string[] | undefined,
  run: (status: Promise<number>) => void,
): void {
  const add = (name: string, description: string): Command =>
    program.command(name).description(description).allowExcessArguments(false);

  add("ps", "list your running guests, whichever process runs them")
    .option("-q, --quiet", "names only")
    .option("--json", "as JSON")
    .action(({ quiet, json }: { quiet?: true; json?: true }) =>
      run(actions.listGuests({ quiet: quiet === true, json: json === true })),
    );

  add("attach", "connect this terminal to a guest's console; Ctrl-A D leaves it again")
    .argument("<name>", "the guest's name, or the beginning of its id")
    .action((name: string) => run(actions.attach(name)));

  const exec = add("exec", "run a command in a guest; its streams and its exit status are ours")
    .usage("[options] <name> -- command...")
    .argument("<name>", "the guest's name, or the beginning of its id")
    .option("-e, --env <NAME=VALUE>", "set a variable of its environment; may be repeated", variable, {})
    .option("-w, --workdir <DIRECTORY>", "where it runs")
    .option("-n, --no-stdin", "give it no standard input");
  exec.action((name: string, flags: { env: Record<string, string>; workdir?: string; stdin: boolean }) => {
    if (command === undefined || command.length === 0) {
      return exec.error("error: no command after --: name one, as in viv exec web -- uname -a");
    }
    const { env, workdir, stdin } = flags;
    return run(actions.execute(name, command, { stdin, env, ...(workdir === undefined ? {} : { cwd: workdir }) }));
  });

  add("stop", "shut guests down, and switch off those that do not in time")
    .argument("<name...>", "the guests' names")
    .option("-t, --time <SECONDS>", "how long they have", seconds, STOP_SECONDS)
    .action((names: string[], { time }: { time: number }) => run(actions.stop(names, 1000 * time)));

  const each = (name: "kill" | "pause" | "resume", description: string): Command =>
    add(name, description)
      .argument("<name...>", "the guests' names")
      .action((names: string[]) => run(actions[name](names)));
  each("kill", "switch guests off, as pulling the plug would");
  each("pause", "hold guests; their clocks stand still");
  each("resume", "let held guests go on");

  add("logs", "print what a guest's console printed, the last MiB of it")
    .argument("<name>", "the guest's name, or the beginning of its id")
    .option("-f, --follow", "and what it prints from now on")
    .action((name: string, { follow }: { follow?: true }) => run(actions.logs(name, { follow: follow === true })));
}
