/** Exit statuses of `viv`. A command run in the guest ends with its own. */
import { CommanderError } from "commander";
import { VivError } from "../base/index.ts";
import type { MachineEnd } from "../vmm/machine.ts";

export const EXIT = {
  ok: 0,
  failure: 1,
  /** Wrong flags or arguments. */
  usage: 2,
  /** `viv run -- …` could not run the command: as `env`, `timeout` and docker have it. */
  notRun: 125,
  /** Added to a signal's number. */
  signal: 128,
} as const;

/** A VivError with one of these codes is the fault of the command line. */
const USAGE = /^(config|usage)\./;

/** What an error makes of the process. */
export function statusOf(error: unknown, failure: number = EXIT.failure): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  return error instanceof VivError && USAGE.test(error.code) ? EXIT.usage : failure;
}

/** What the end of a machine makes of a process that had its console. `consoleStatus`: of the console's shell or command. */
export function statusOfEnd(
  end: { readonly reason: MachineEnd["reason"]; readonly status?: number | undefined },
  consoleStatus: number | undefined,
  say: (text: string) => void,
): number {
  switch (end.reason) {
    case "power-off":
      return consoleStatus ?? EXIT.ok;
    case "exit":
      return (end.status ?? 0) & 0xff;
    case "reset":
    case "stopped":
      return EXIT.ok;
    case "triple-fault":
      say("the guest died of a triple fault");
      return EXIT.failure;
  }
}

/** One line for the user; undefined where it was told already. */
export function messageOf(error: unknown, verbose: boolean): string | undefined {
  if (error instanceof CommanderError) return undefined;
  if (!(error instanceof Error)) return String(error);
  if (error instanceof VivError) {
    const cause = verbose && error.cause instanceof Error ? `\n${error.cause.stack ?? error.cause.message}` : "";
    return error.message + cause;
  }
  return verbose ? (error.stack ?? error.message) : error.message;
}
