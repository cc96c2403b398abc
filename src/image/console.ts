/** The shell that the default guest starts on its console where one is asked for. */
import type { Argument } from "./exec/index.ts";
import { CONSOLE_PATH } from "./guest/scripts.ts";

export interface ConsoleRequest {
  readonly rows: number;
  readonly columns: number;
  /** The terminal's type, as in TERM. */
  readonly term?: string;
}

/** What the kernel command line needs besides, to find an interactive shell on the console. */
export function consoleParameters({ rows, columns, term }: ConsoleRequest): string {
  const sane = (n: number): number => Math.min(Math.max(Math.trunc(n) || 1, 1), 0xffff);
  // Parameters the kernel does not know and that hold a "=" become init's environment.
  const type = term !== undefined && /^[\w.+-]{1,64}$/.test(term) ? term : "vt100";
  return `vivarium_console=${sane(rows)}x${sane(columns)} TERM=${type}`;
}

/** What the guest's agent runs to have a command on the console, as the shell's stead: it returns at once, and the console has it. */
export const onConsole = (argv: readonly Argument[]): readonly Argument[] => ["setsid", CONSOLE_PATH, ...argv];
