/**
 * What can be asked of a running guest over its control socket: a row for each request says what it takes, what streams of bytes go
 * with it and what it is answered. Client, server and the checks at both ends come from the rows; the transport knows none of them.
 * A room with requests of its own declares them with `controlRequest`, and serves them with `GuestControls.handle`.
 */
import { GUEST_INFO } from "./guest.ts";
import {
  choice,
  count,
  dictionary,
  flag,
  list,
  nothing,
  number,
  type Of,
  optional,
  record,
  type Shape,
  text,
} from "./shape.ts";

export interface ControlRequest<
  Parameters = unknown,
  Answer = unknown,
  Message = unknown,
  Input extends string = string,
  Output extends string = string,
> {
  readonly name: string;
  readonly parameters: Shape<Parameters>;
  readonly answer: Shape<Answer>;
  /** What the client may say while it waits for the answer. */
  readonly message: Shape<Message>;
  /** Streams to the guest's process, and from it. */
  readonly input: readonly Input[];
  readonly output: readonly Output[];
  /** It is served as soon as the guest has a name, and does not wait until there is a machine. */
  readonly early: boolean;
}

type Nothing = Of<typeof nothing>;

export const controlRequest = <
  Parameters = Nothing,
  Answer = Nothing,
  Message = Nothing,
  const Input extends string = never,
  const Output extends string = never,
>(
  name: string,
  row: {
    readonly parameters?: Shape<Parameters>;
    readonly answer?: Shape<Answer>;
    readonly message?: Shape<Message>;
    readonly input?: readonly Input[];
    readonly output?: readonly Output[];
    readonly early?: boolean;
  } = {},
): ControlRequest<Parameters, Answer, Message, Input, Output> => ({
  name,
  // What is left out has the type that stands for it.
  parameters: row.parameters ?? (nothing as Shape<unknown> as Shape<Parameters>),
  answer: row.answer ?? (nothing as Shape<unknown> as Shape<Answer>),
  message: row.message ?? (nothing as Shape<unknown> as Shape<Message>),
  input: row.input ?? [],
  output: row.output ?? [],
  early: row.early ?? false,
});

export type ParametersOf<R> = R extends ControlRequest<infer P, infer _A, infer _M, infer _I, infer _O> ? P : never;
export type AnswerOf<R> = R extends ControlRequest<infer _P, infer A, infer _M, infer _I, infer _O> ? A : never;
export type MessageOf<R> = R extends ControlRequest<infer _P, infer _A, infer M, infer _I, infer _O> ? M : never;
export type InputOf<R> = R extends ControlRequest<infer _P, infer _A, infer _M, infer I, infer _O> ? I : never;
export type OutputOf<R> = R extends ControlRequest<infer _P, infer _A, infer _M, infer _I, infer O> ? O : never;

/** How a machine ended (MachineEnd, flat), and with what status its console's shell or command did. */
export const GUEST_END = record({
  reason: choice("power-off", "reset", "triple-fault", "stopped", "exit"),
  status: optional(count()),
  consoleStatus: optional(count(255)),
});
export type GuestEnd = Of<typeof GUEST_END>;

const size = record({ rows: count(0xffff), columns: count(0xffff) });
/** Linux takes no more (image/exec/protocol.ts), but says so itself. */
const argument = text(256 * 1024);
/** A day. */
const MOST_GRACE_MS = 86_400_000;

export const CONTROL = {
  info: controlRequest("info", { answer: GUEST_INFO, early: true }),
  pause: controlRequest("pause"),
  resume: controlRequest("resume"),
  reset: controlRequest("reset"),
  powerButton: controlRequest("power-button"),
  nmi: controlRequest("nmi"),
  /** Asks the guest to shut down and, when `grace` milliseconds are over, switches it off; answered when it is gone. */
  stop: controlRequest("stop", {
    parameters: record({ grace: number(0, MOST_GRACE_MS) }),
    answer: record({ forced: flag }),
  }),
  /** Answered when the machine has ended. */
  wait: controlRequest("wait", { answer: GUEST_END }),
  /** Runs a command, as `VirtualMachine.run`. A client that cancels or is gone takes the command with it. */
  exec: controlRequest("exec", {
    parameters: record({
      argv: list(argument, 65_536),
      env: optional(dictionary(argument, 4096)),
      cwd: optional(text()),
      /** The stream `stdin` is the command's; otherwise it reads /dev/null. */
      stdin: flag,
    }),
    message: record({ signal: text(16) }),
    input: ["stdin"],
    output: ["stdout", "stderr"],
    answer: record({ exitCode: count(255) }),
  }),
  /**
   * Both ways of the console, beginning with up to `backlog` bytes of what it printed before. Several may be attached; the guest waits
   * for none of them. Ends with the machine.
   */
  attach: controlRequest("attach", {
    parameters: record({ backlog: count(), size: optional(size) }),
    message: size,
    input: ["keys"],
    output: ["screen"],
    answer: GUEST_END,
  }),
  /** What the console printed, as far as it is kept; with `follow` also what comes, until the machine ends. */
  logs: controlRequest("logs", {
    parameters: record({ follow: flag }),
    output: ["log"],
    /** Bytes that had been dropped, or that a follower was too slow for. */
    answer: record({ dropped: count() }),
  }),
} as const;
