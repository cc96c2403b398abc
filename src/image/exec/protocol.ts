import { concat, VivError } from "../../base/index.ts";
import { utf8 } from "../text.ts";

/**
 * How host and guest talk about commands, over three 16550A lines in raw mode.
 *
 *   COM2 (ttyS1)  host to guest: requests to the agent       guest to host: events, a line each
 *   COM3 (ttyS2)  host to guest: the command's input         guest to host: its standard output
 *   COM4 (ttyS3)  host to guest: requests to the side agent  guest to host: its standard error
 *
 * A request is a line of shell, a call of one of the guest's functions (`guest/scripts.ts`) with single-quoted arguments,
 * so that every byte but NUL arrives. The host sends one `run` at a time and an `end` after it.
 * Input goes by frames (a decimal length, a newline, the bytes), one for each `want`; a length of zero is the end of input.
 * That makes flow control a matter of the protocol and not of the UART's lines.
 * Output begins and ends with the token of its `run`, on each stream.
 */

/** What the guest tells. The first word of a line is its name; the rest are decimal numbers. */
export const EVENTS = {
  /** The agent listens, in this version of the protocol. */
  "vivarium ready": ["version"],
  /** The feeder asks for one frame of this run's input. */
  want: ["id"],
  /** The command of this run has ended. */
  exit: ["id", "status"],
  /** The interactive shell has ended; power-off follows. */
  console: ["status"],
} as const satisfies Record<string, readonly string[]>;

export type GuestEvent = {
  [Name in keyof typeof EVENTS]: {
    readonly event: Name;
    readonly fields: Readonly<Record<(typeof EVENTS)[Name][number], number>>;
  };
}[keyof typeof EVENTS];

export const PROTOCOL_VERSION = 1;

/** A line that is longer is no event. Stops a guest that never ends a line from filling the host's memory. */
export const MAX_EVENT_LINE = 64;
/**
 * The kernel keeps up to 640 KiB of a serial line's input that nobody has read yet (TTYB_DEFAULT_MEM_LIMIT) and drops what
 * exceeds it. A request stays well below.
 */
export const MAX_REQUEST = 256 * 1024;
/** Linux's MAX_ARG_STRLEN, less its terminating NUL. */
export const MAX_ARGUMENT = 128 * 1024 - 1;
/** Bytes of input in one frame: large enough that the frame's cost, a fork in the guest, does not show. */
export const MAX_FRAME = 16 * 1024;

const names = Object.keys(EVENTS) as (keyof typeof EVENTS)[];

/** Reads a line of the guest's; undefined where it is none of the events (the guest may send anything). */
export function parseEvent(line: string): GuestEvent | undefined {
  const event = names.find((name) => line.startsWith(`${name} `));
  if (event === undefined) return undefined;
  const words = line.slice(event.length + 1).split(" ");
  const fields = EVENTS[event];
  if (words.length !== fields.length || !words.every((w) => /^\d{1,9}$/.test(w))) return undefined;
  return { event, fields: Object.fromEntries(fields.map((f, i) => [f, Number(words[i])])) } as unknown as GuestEvent;
}

export type Argument = string | Uint8Array;

export interface RunRequest {
  readonly id: number;
  readonly token: string;
  readonly input: boolean;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly argv: readonly Argument[];
}

const QUOTE = 0x27;
const QUOTED_QUOTE = utf8("'\\''");

export function runRequest(request: RunRequest): Uint8Array<ArrayBuffer> {
  if (request.argv.length === 0) throw new VivError("exec.no-command", "no command to run: name a program");
  const env = Object.entries(request.env).map(([name, value]) => {
    if (name === "" || name.includes("=")) {
      throw new VivError("exec.environment", `"${name}" is no name for an environment variable`);
    }
    return `${name}=${value}`;
  });
  const input = request.input ? "stdin" : "none";
  const words = [request.cwd, ...env].map(quote);
  const argv = request.argv.map(quote);
  const line = [`run ${request.id} ${request.token} ${input}`, ...words, "setsid --", ...argv];
  const bytes = concat(line.flatMap((w) => [typeof w === "string" ? utf8(w) : w, utf8(" ")]));
  bytes[bytes.length - 1] = 0x0a;
  if (bytes.length > MAX_REQUEST) {
    throw new VivError(
      "exec.too-long",
      `the command's arguments and environment take ${bytes.length} bytes, more than ${MAX_REQUEST}: pass them on its standard input`,
    );
  }
  return bytes;
}

export const endRequest = (): Uint8Array => utf8("end\n");
export const sizeRequest = (rows: number, columns: number): Uint8Array => utf8(`size ${rows} ${columns}\n`);
export const powerDownRequest = (): Uint8Array => utf8("down\n");
export const signalRequest = (name: string): Uint8Array => utf8(`signal ${name}\n`);

/** A frame of input; an empty one is the end. */
export function inputFrame(data: Uint8Array): Uint8Array {
  return concat([utf8(`${data.length}\n`), data]);
}

/** A word of shell that stands for exactly these bytes. */
function quote(argument: Argument): Uint8Array {
  const raw = typeof argument === "string" ? utf8(argument) : argument;
  if (raw.includes(0)) {
    throw new VivError("exec.nul", "an argument holds a NUL character, which no Linux program can be given");
  }
  if (raw.length > MAX_ARGUMENT) {
    throw new VivError(
      "exec.too-long",
      `an argument is ${raw.length} bytes long; Linux takes ${MAX_ARGUMENT}: pass it on standard input`,
    );
  }
  const parts: Uint8Array[] = [Uint8Array.of(QUOTE)];
  let from = 0;
  for (let at = raw.indexOf(QUOTE); at >= 0; at = raw.indexOf(QUOTE, from)) {
    parts.push(raw.subarray(from, at), QUOTED_QUOTE);
    from = at + 1;
  }
  parts.push(raw.subarray(from), Uint8Array.of(QUOTE));
  return concat(parts);
}
