/** A guest of another process: what can be done with it goes over its control socket. */
import { VivError } from "../../base/index.ts";
import type { ExecResult } from "../../image/exec/index.ts";
import { ObservedGuest } from "../observer/observed-guest.ts";
import type { GuestObserver } from "../observer/orders.ts";
import { RemoteObserver } from "../observer/remote-observer.ts";
import type { ClientConnection, PendingRequest, StreamListener, StreamSource } from "./client.ts";
import type { GuestEntry, GuestInfo } from "./guest.ts";
import { CONTROL, type GuestEnd, type MessageOf } from "./requests.ts";

export interface RemoteExecOptions {
  /** Added to the guest's own HOME, PATH and so on. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Without it the command reads /dev/null. */
  readonly stdin?: Uint8Array | StreamSource;
  readonly onStdout?: StreamListener;
  readonly onStderr?: StreamListener;
}

export interface RemoteCommand {
  readonly result: Promise<ExecResult>;
  /** Sends it a signal (`INT`, `TERM`, …); a command whose turn has not come is cancelled instead. */
  signal(name: string): void;
  /** Ends it. */
  cancel(): void;
}

type Size = MessageOf<typeof CONTROL.attach>;

export interface AttachOptions {
  /** Takes what the guest prints, beginning with the last of what it printed before. */
  readonly onOutput: StreamListener;
  /** What is typed at it. */
  readonly keys?: StreamSource;
  /** Of the terminal. */
  readonly size?: Size;
  /** Bytes of what was printed before, at most. */
  readonly backlog?: number;
}

export interface Attachment {
  /** Settles when the machine has ended; rejects with `control.cancelled` after `detach`. */
  readonly end: Promise<GuestEnd>;
  resize(size: Size): void;
  detach(): void;
}

/** Some screens' worth. */
const BACKLOG = 8 * 1024;
/** As docker has it. */
const STOP_GRACE_MS = 10_000;

/** A request that ends the machine may end with the connection: what was wanted has happened then. */
const isGone = (error: unknown): boolean => error instanceof VivError && error.code === "guest.gone";

/**
 * A running guest, whichever process started it. Disposing of it closes the connection; the guest runs on.
 *
 * ```ts
 * await using guest = await Vm.connect("web");
 * const { exitCode } = await guest.exec(["uname", "-a"], { onStdout: (data) => void process.stdout.write(data) });
 * ```
 */
export class RemoteVm extends ObservedGuest implements AsyncDisposable {
  readonly entry: GuestEntry;
  /** For requests beyond those below: `guest.connection.request(ROW, parameters)`. */
  readonly connection: ClientConnection;

  constructor(entry: GuestEntry, connection: ClientConnection) {
    super();
    this.entry = entry;
    this.connection = connection;
  }

  get name(): string {
    return this.entry.name;
  }

  get id(): string {
    return this.entry.id;
  }

  observer(): Promise<GuestObserver> {
    return Promise.resolve(new RemoteObserver(this.connection));
  }

  info(): Promise<GuestInfo> {
    return this.connection.request(CONTROL.info, {}).answer;
  }

  async pause(): Promise<void> {
    await this.connection.request(CONTROL.pause, {}).answer;
  }

  async resume(): Promise<void> {
    await this.connection.request(CONTROL.resume, {}).answer;
  }

  /** The reset button. */
  async reset(): Promise<void> {
    await this.connection.request(CONTROL.reset, {}).answer;
  }

  /** The power button: a guest that listens to ACPI shuts down. */
  async pressPowerButton(): Promise<void> {
    await this.connection.request(CONTROL.powerButton, {}).answer;
  }

  async raiseNmi(): Promise<void> {
    await this.connection.request(CONTROL.nmi, {}).answer;
  }

  /** As `VirtualMachine.shutDown`: settles when the machine is gone; true: it had to be switched off. */
  async shutDown(grace: number = STOP_GRACE_MS): Promise<boolean> {
    try {
      return (await this.connection.request(CONTROL.stop, { grace }).answer).forced;
    } catch (error) {
      if (isGone(error)) return grace === 0;
      throw error;
    }
  }

  /** Switches the machine off, as pulling the plug would; settles when it is gone. */
  async stop(): Promise<void> {
    await this.shutDown(0);
  }

  /** Settles with how the machine ended; rejects with `guest.gone` where its process was killed. */
  wait(): Promise<GuestEnd> {
    return this.connection.request(CONTROL.wait, {}).answer;
  }

  /** Runs a program of the guest; settles when it has ended. Waits for the guest to be up. */
  exec(argv: readonly string[], options: RemoteExecOptions = {}): Promise<ExecResult> {
    return this.run(argv, options).result;
  }

  /** As `exec`, with a handle on the command. */
  run(argv: readonly string[], options: RemoteExecOptions = {}): RemoteCommand {
    const { env, cwd, stdin, onStdout, onStderr } = options;
    const parameters = { argv, env, cwd, stdin: stdin !== undefined };
    const pending = this.connection.request(CONTROL.exec, parameters, {
      input: { stdin: stdin instanceof Uint8Array ? [stdin] : stdin },
      output: { stdout: onStdout, stderr: onStderr },
    });
    return { result: pending.answer, signal: (signal) => pending.send({ signal }), cancel: pending.cancel };
  }

  /** Both ways of the guest's console. Others may be attached, too; a reader that is too slow misses some of the output. */
  attach({ onOutput, keys, size, backlog = BACKLOG }: AttachOptions): Attachment {
    const pending: PendingRequest<GuestEnd, Size> = this.connection.request(
      CONTROL.attach,
      { backlog, size },
      { input: { keys }, output: { screen: onOutput } },
    );
    return { end: pending.answer, resize: pending.send, detach: pending.cancel };
  }

  /**
   * What the console printed, as far as it is kept (1 MiB); with `follow` also what comes, until the machine ends. Settles with the
   * number of bytes that are missing.
   */
  async logs(onOutput: StreamListener, { follow = false }: { readonly follow?: boolean } = {}): Promise<number> {
    return (await this.connection.request(CONTROL.logs, { follow }, { output: { log: onOutput } }).answer).dropped;
  }

  /** Closes the connection. */
  disconnect(): void {
    this.connection.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.disconnect();
    return Promise.resolve();
  }
}
