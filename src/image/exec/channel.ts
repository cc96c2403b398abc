import { VivError } from "../../base/index.ts";
import { utf8 } from "../text.ts";
import { type Input, InputFrames } from "./input.ts";
import { LineReader } from "./lines.ts";
import {
  type Argument,
  endRequest,
  type GuestEvent,
  inputFrame,
  MAX_EVENT_LINE,
  PROTOCOL_VERSION,
  parseEvent,
  powerDownRequest,
  runRequest,
  signalRequest,
  sizeRequest,
} from "./protocol.ts";
import { TokenScanner } from "./token.ts";

/** One serial line, as the host end sees it. */
export interface SerialLine {
  /** Sends bytes to the guest; the line keeps what the guest has not taken yet. */
  write(data: Uint8Array): void;
  /** Says who takes the bytes that come from the guest. The bytes are the listener's only during the call. */
  listen(listener: (data: Uint8Array) => void): void;
  /** Holds the guest's output back, or lets it come again. A line that cannot does without. */
  hold?(held: boolean): void;
}

/** The lines of `protocol.ts`. */
export interface ExecLines {
  readonly control: SerialLine;
  readonly output: SerialLine;
  readonly errors: SerialLine;
}

/** Takes what a command wrote. Where it returns a promise, the guest is held back until that settles. */
export type OutputListener = (data: Uint8Array) => void | Promise<void>;

export interface ExecOptions {
  /** Added to the guest's own HOME, PATH and so on. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Without it the command reads /dev/null. */
  readonly stdin?: Input;
  readonly onStdout?: OutputListener;
  readonly onStderr?: OutputListener;
}

export interface ExecResult {
  /** 0 to 255; 128 and more may be a signal's number plus 128, as in every shell. */
  readonly exitCode: number;
}

/** A command that was given to the guest, or waits for its turn. */
export interface RunningCommand {
  /** Settles when it has ended and all its output was passed on. */
  readonly result: Promise<ExecResult>;
  /** Sends it a signal (`TERM`, `INT`, …). False: it does not run, or not yet. */
  signal(name: string): boolean;
  /** Takes it out of the queue; ends it by force where it runs. Its result then is a VivError `exec.cancelled`, or how it ended. */
  cancel(): void;
}

interface Run {
  readonly id: number;
  readonly input: InputFrames | undefined;
  readonly streams: { readonly output: Stream; readonly errors: Stream };
  status: number | undefined;
  /** The end of input was sent. */
  inputEnded: boolean;
  /** The guest waits for a frame that the source has not given yet. */
  wanted: boolean;
  /** A frame was asked of the source. */
  reading: boolean;
  readonly resolve: (result: ExecResult) => void;
  readonly reject: (error: unknown) => void;
}

interface Stream {
  readonly scanner: TokenScanner;
  readonly listener: OutputListener | undefined;
  /** Before its token has come, what comes is a background process's of an earlier run. */
  begun: boolean;
  ended: boolean;
}

interface Queued {
  run: Run | undefined;
  readonly argv: readonly Argument[];
  readonly options: ExecOptions;
  readonly resolve: (result: ExecResult) => void;
  readonly reject: (error: unknown) => void;
}

function checkSignal(name: string): void {
  if (/^[A-Z][A-Z0-9+-]{1,9}$/.test(name)) return;
  throw new VivError("exec.signal", `"${name}" is no signal's name: use one as TERM, INT or KILL`);
}

/** Random bytes in a token: nobody guesses it, and no output holds it by chance. */
const TOKEN_BYTES = 16;

/**
 * The host's end of the exec protocol: runs commands in the guest one after another. What the guest sends outside the
 * protocol is dropped; a guest that breaks it harms its own commands' results and nothing else.
 */
export class ExecChannel {
  /** Settles when the guest's agent listens; rejects when the channel closes before. */
  readonly ready: Promise<void>;
  /** Settles with the status of the console's interactive shell when that ends. Pending for ever where there is none. */
  readonly consoleExit: Promise<number>;
  readonly #lines: ExecLines;
  readonly #random: (into: Uint8Array) => void;
  readonly #events = new LineReader(MAX_EVENT_LINE);
  readonly #queue: Queued[] = [];
  #run: Run | undefined;
  /** The last run, while the guest may still ask for its input: it is told the end. */
  #draining: Run | undefined;
  #id = 0;
  #state: "starting" | "ready" | "closed" = "starting";
  #closed: VivError | undefined;
  #settleReady!: { resolve: () => void; reject: (error: unknown) => void };
  #consoleEnded!: (status: number) => void;

  /** `random` fills an array with random bytes. */
  constructor(lines: ExecLines, random: (into: Uint8Array) => void) {
    this.#lines = lines;
    this.#random = random;
    this.ready = new Promise((resolve, reject) => {
      this.#settleReady = { resolve, reject };
    });
    this.ready.catch(() => undefined);
    this.consoleExit = new Promise((resolve) => {
      this.#consoleEnded = resolve;
    });
    lines.control.listen((data) => this.#control(data));
    lines.output.listen((data) => this.#stream("output", data));
    lines.errors.listen((data) => this.#stream("errors", data));
  }

  /** Runs a program of the guest and settles when it has ended and all its output was passed on. */
  exec(argv: readonly Argument[], options: ExecOptions = {}): Promise<ExecResult> {
    return this.run(argv, options).result;
  }

  /** As `exec`, with a handle on the command. */
  run(argv: readonly Argument[], options: ExecOptions = {}): RunningCommand {
    let queued: Queued | undefined;
    const result = new Promise<ExecResult>((resolve, reject) => {
      if (this.#closed) throw this.#closed;
      queued = { run: undefined, argv, options, resolve, reject };
      this.#queue.push(queued);
      this.#next();
    });
    const runs = (): boolean =>
      queued?.run !== undefined && queued.run === this.#run && queued.run.status === undefined;
    const signal = (name: string): boolean => {
      checkSignal(name);
      if (!runs()) return false;
      this.signal(name);
      return true;
    };
    return {
      result,
      signal,
      cancel: () => {
        const place = queued ? this.#queue.indexOf(queued) : -1;
        if (place < 0) signal("KILL");
        else {
          this.#queue.splice(place, 1);
          queued?.reject(new VivError("exec.cancelled", "the command was cancelled before its turn came"));
        }
      },
    };
  }

  /** Sends a signal (`TERM`, `INT`, …) to the command that runs now, if one does. */
  signal(name: string): void {
    checkSignal(name);
    if (this.#run && this.#run.status === undefined) this.#lines.errors.write(signalRequest(name));
  }

  /** Asks the guest to shut down: its programs are told to end, and the machine is switched off. */
  powerDown(): void {
    if (this.#state === "ready") this.#lines.errors.write(powerDownRequest());
  }

  /** Tells the guest the size of the console's window. */
  resize(rows: number, columns: number): void {
    const sane = (n: number): number => Math.min(Math.max(Math.trunc(n) || 1, 1), 0xffff);
    if (this.#state === "ready") this.#lines.errors.write(sizeRequest(sane(rows), sane(columns)));
  }

  /** The machine is gone: whatever waits is rejected with this reason. */
  close(reason: VivError): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#closed = reason;
    this.#settleReady.reject(reason);
    this.#fail(reason);
    for (const waiting of this.#queue.splice(0)) waiting.reject(reason);
  }

  #next(): void {
    if (this.#state !== "ready" || this.#run || this.#queue.length === 0) return;
    const queued = this.#queue.shift()!;
    const { argv, options, resolve, reject } = queued;
    const random = new Uint8Array(TOKEN_BYTES);
    this.#random(random);
    const token = Array.from(random, (b) => b.toString(16).padStart(2, "0")).join("");
    const id = ++this.#id;
    let request: Uint8Array;
    try {
      const { cwd = "/root", env = {} } = options;
      request = runRequest({ id, token, input: options.stdin !== undefined, cwd, env, argv });
    } catch (error) {
      reject(error);
      this.#next();
      return;
    }
    const stream = (listener: OutputListener | undefined): Stream => ({
      scanner: new TokenScanner(utf8(token)),
      listener,
      begun: false,
      ended: false,
    });
    this.#run = queued.run = {
      id,
      input: options.stdin === undefined ? undefined : new InputFrames(options.stdin),
      streams: { output: stream(options.onStdout), errors: stream(options.onStderr) },
      status: undefined,
      inputEnded: false,
      wanted: false,
      reading: false,
      resolve,
      reject,
    };
    this.#lines.control.write(request);
  }

  #control(data: Uint8Array): void {
    for (const line of this.#events.push(data)) {
      const event = parseEvent(line);
      if (event) this.#event(event);
    }
  }

  #event({ event, fields }: GuestEvent): void {
    if (this.#state === "closed") return;
    switch (event) {
      case "vivarium ready":
        this.#ready(fields.version);
        return;
      case "want":
        if (this.#run?.id === fields.id) this.#want(this.#run);
        else if (this.#draining?.id === fields.id) this.#want(this.#draining);
        return;
      case "exit":
        if (this.#run?.id === fields.id && this.#run.status === undefined) this.#exit(this.#run, fields.status);
        return;
      case "console":
        this.#consoleEnded(fields.status & 0xff);
    }
  }

  #ready(version: number): void {
    if (version !== PROTOCOL_VERSION) {
      const reason = `the guest's agent speaks version ${version} of the exec protocol, not ${PROTOCOL_VERSION}`;
      this.close(new VivError("guest.agent-version", `${reason}: build the image again with "viv image build"`));
      return;
    }
    // A second greeting: init has started the agent anew, and with the old one went the command.
    this.#fail(new VivError("guest.agent-restarted", "the guest's agent died while a command ran; run it again"));
    this.#state = "ready";
    this.#settleReady.resolve();
    this.#next();
  }

  #fail(reason: VivError): void {
    const run = this.#run;
    this.#run = undefined;
    this.#draining = undefined;
    if (!run) return;
    run.wanted = false;
    run.input?.close();
    run.reject(reason);
  }

  /** The guest asks for a frame: one is sent, or the end where the command has ended. Sent at most once a `want`. */
  #want(run: Run): void {
    if (run.inputEnded || run.wanted || !run.input) return;
    run.wanted = true;
    if (run.status !== undefined) this.#sendFrame(run, new Uint8Array(0));
    else if (!run.reading) void this.#read(run, run.input);
  }

  async #read(run: Run, input: InputFrames): Promise<void> {
    run.reading = true;
    try {
      const frame = await input.next();
      if (run.wanted) this.#sendFrame(run, frame);
    } catch (error) {
      // The source failed: the command sees the end of its input, and the caller the error.
      run.reject(error);
      if (run.wanted) this.#sendFrame(run, new Uint8Array(0));
    } finally {
      run.reading = false;
    }
  }

  #sendFrame(run: Run, frame: Uint8Array): void {
    run.wanted = false;
    if (frame.length === 0) run.inputEnded = true;
    this.#lines.output.write(inputFrame(frame));
  }

  #exit(run: Run, status: number): void {
    run.status = status & 0xff;
    run.input?.close();
    if (run.wanted) this.#sendFrame(run, new Uint8Array(0));
    this.#finish(run);
  }

  #stream(name: "output" | "errors", data: Uint8Array): void {
    const run = this.#run;
    const stream = run?.streams[name];
    // Between two runs nothing is expected; a background process of the last one may still write.
    if (!run || !stream || stream.ended) return;
    let own = data;
    if (!stream.begun) {
      const { rest } = stream.scanner.push(data);
      if (rest === undefined) return;
      stream.begun = true;
      own = rest;
    }
    const { output, rest } = stream.scanner.push(own);
    for (const part of output) this.#deliver(run, name, stream, part);
    if (rest !== undefined) {
      stream.ended = true;
      this.#finish(run);
    }
  }

  #deliver(run: Run, name: "output" | "errors", stream: Stream, part: Uint8Array): void {
    try {
      const taken = stream.listener?.(part);
      if (!taken) return;
      const line = this.#lines[name];
      line.hold?.(true);
      void taken.catch((error: unknown) => run.reject(error)).finally(() => line.hold?.(false));
    } catch (error) {
      run.reject(error);
    }
  }

  #finish(run: Run): void {
    if (run !== this.#run || run.status === undefined || !run.streams.output.ended || !run.streams.errors.ended) return;
    this.#run = undefined;
    this.#draining = run;
    this.#lines.control.write(endRequest());
    run.resolve({ exitCode: run.status });
    this.#next();
  }
}
