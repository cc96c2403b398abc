/**
 * A running virtual machine, as the host sees it: its console, commands in its guest, its end. What a host adds is how the
 * machine's thread is started (`MachineThread`); `sys/` has one for each kind of host.
 */
import { VivError } from "../base/index.ts";
import type { CpuStatistics } from "../cpu/index.ts";
import { onConsole } from "../image/console.ts";
import {
  type Argument,
  ExecChannel,
  type ExecOptions,
  type ExecResult,
  type RunningCommand,
} from "../image/exec/index.ts";
import { Console } from "./console.ts";
import { type HostLink, REQUEST } from "./link.ts";
import type { MachineEnd } from "./machine.ts";
import { ObservedGuest } from "./observer/observed-guest.ts";
import type { GuestObserver } from "./observer/orders.ts";
import { HostSerialLine } from "./serial-line.ts";

/** The thread a machine runs in. */
export interface MachineThread {
  readonly link: HostLink;
  /** Settles when the machine has ended; rejects with a VivError where its thread died. */
  readonly ended: Promise<MachineEnd>;
  /** There once it has ended, where they were asked for. */
  readonly statistics?: CpuStatistics | undefined;
  /** What the host calls the thread, where it says that: for its processor time. */
  readonly threadId?: number | undefined;
  /** Says who answers the doorbell. */
  onDoorbell(answer: () => void): void;
  /** Ends the thread by force, if it is still there. */
  terminate(): Promise<void>;
}

export interface VirtualMachineOptions {
  readonly thread: MachineThread;
  /** The guest runs the agent that `exec` talks to. */
  readonly agent: boolean;
  /** All of guest RAM, shared with the guest. */
  readonly ram: Uint8Array;
  random(into: Uint8Array): void;
  /** Settles after about this long. */
  delay(milliseconds: number): Promise<void>;
}

/** A machine that does not end by itself within this time when asked to is ended by force. */
const STOP_GRACE_MS = 2_000;

const noAgent = (): VivError =>
  new VivError(
    "exec.no-agent",
    "only the default guest can run commands for the host; this machine was started with a kernel of yours: use its console",
  );

const machineGone = (end: MachineEnd): VivError =>
  new VivError("vm.ended", `the machine is gone (${describeEnd(end)})`);

/** Words for a message. */
export const describeEnd = (end: MachineEnd): string => {
  switch (end.reason) {
    case "power-off":
      return "the guest powered off";
    case "reset":
      return "the guest reset the machine";
    case "triple-fault":
      return "the guest died of a triple fault";
    case "exit":
      return `the guest ended the run with status ${end.status}`;
    case "stopped":
      return "it was stopped";
  }
};

export class VirtualMachine extends ObservedGuest implements AsyncDisposable {
  /** The first serial port. */
  readonly console: Console;
  /** Guest RAM, as the guest sees and changes it at this moment. For reading: a write may break the guest. */
  readonly ram: Uint8Array;
  readonly #thread: MachineThread;
  readonly #options: VirtualMachineOptions;
  readonly #lines: readonly HostSerialLine[];
  readonly #exec: ExecChannel | undefined;
  readonly #end: Promise<MachineEnd>;
  #ended = false;
  #up: boolean;

  constructor(options: VirtualMachineOptions) {
    super();
    const { thread, agent } = options;
    this.#options = options;
    this.#thread = thread;
    this.ram = options.ram;
    this.#lines = thread.link.serial.map((_, port) => new HostSerialLine(thread.link, port));
    const [first, control, output, errors] = this.#lines as [
      HostSerialLine,
      HostSerialLine,
      HostSerialLine,
      HostSerialLine,
    ];
    this.#exec = agent ? new ExecChannel({ control, output, errors }, (into) => options.random(into)) : undefined;
    this.#up = !agent;
    void this.#exec?.ready.then(
      () => (this.#up = true),
      () => undefined,
    );
    this.#end = thread.ended.then(
      (end) => {
        this.#close(machineGone(end));
        return end;
      },
      (error: unknown) => {
        this.#close(error instanceof VivError ? error : new VivError("vm.crashed", String(error), { cause: error }));
        throw error;
      },
    );
    this.#end.catch(() => undefined);
    this.console = new Console(
      first,
      this.#end.then(
        () => undefined,
        () => undefined,
      ),
    );
    thread.onDoorbell(() => this.#answer());
  }

  get name(): string | undefined {
    return undefined;
  }

  /** Rejects with VivError `guest.no-observer`: a host that has threads which look inside says so. */
  observer(): Promise<GuestObserver> {
    return Promise.reject(new VivError("guest.no-observer", "guests cannot be looked into here: run them with Node"));
  }

  /** `booting` is only what the host can tell from a running guest: the default guest, until its agent is up. */
  get state(): "booting" | "running" | "paused" | "ended" {
    if (this.#ended) return "ended";
    if (this.#thread.link.asked(REQUEST.paused)) return "paused";
    return this.#up ? "running" : "booting";
  }

  /** What the host calls the vCPU's thread, where it says that. */
  get threadId(): number | undefined {
    return this.#thread.threadId;
  }

  /** Settles when the guest can run commands. Rejects where it has no agent, or ends before. */
  get ready(): Promise<void> {
    return this.#exec ? this.#exec.ready : Promise.reject(noAgent());
  }

  /** Settles with the status of the console's interactive shell when that ends. */
  get consoleExit(): Promise<number> {
    return this.#exec ? this.#exec.consoleExit : Promise.reject(noAgent());
  }

  /** Runs a program of the guest; settles when it has ended. Waits for the guest to be up. */
  exec(argv: readonly Argument[], options: ExecOptions = {}): Promise<ExecResult> {
    return this.#exec ? this.#exec.exec(argv, options) : Promise.reject(noAgent());
  }

  /** As `exec`, with a handle on the command; throws where the guest has no agent. */
  run(argv: readonly Argument[], options: ExecOptions = {}): RunningCommand {
    if (this.#exec) return this.#exec.run(argv, options);
    throw noAgent();
  }

  /**
   * Runs a program of the guest on its console, which must have no shell: a terminal, whose end is the machine's. Settles when it was
   * started, in a guest that is up; `consoleExit` has its status.
   */
  async runOnConsole(argv: readonly Argument[]): Promise<void> {
    await this.exec(onConsole(argv));
  }

  /** Sends a signal (`INT`, `TERM`, …) to the command that `exec` runs now. */
  signal(name: string): void {
    this.#exec?.signal(name);
  }

  /** Tells the guest the size of the console's window. */
  resize(rows: number, columns: number): void {
    this.#exec?.resize(rows, columns);
  }

  /** Settles with how the machine ended; rejects where it failed. */
  wait(): Promise<MachineEnd> {
    return this.#end;
  }

  /**
   * What the vCPU did, once the machine has ended; undefined before, without the option `stats`, and where the machine had to be ended
   * by force.
   */
  get statistics(): CpuStatistics | undefined {
    return this.#thread.statistics;
  }

  /** Holds the guest; its clock stands still. */
  pause(): void {
    this.#thread.link.request(REQUEST.paused);
  }

  resume(): void {
    this.#thread.link.withdraw(REQUEST.paused);
  }

  /** The reset button. */
  reset(): void {
    this.#thread.link.request(REQUEST.reset);
  }

  /** The power button: a guest that listens to ACPI shuts down. */
  pressPowerButton(): void {
    this.#thread.link.request(REQUEST.powerButton);
  }

  raiseNmi(): void {
    this.#thread.link.request(REQUEST.nmi);
  }

  /**
   * Asks the guest to shut down, by the power button and, where it has our agent, by that; switches it off when it is still there after
   * about `grace` milliseconds. A guest that is held goes on for that. Settles when the machine is gone; true: it had to be switched off.
   */
  async shutDown(grace: number): Promise<boolean> {
    if (grace > 0 && !this.#ended) {
      this.resume();
      this.pressPowerButton();
      void this.#exec?.ready.then(
        () => this.#exec?.powerDown(),
        () => undefined,
      );
      const gone = this.#end.then(
        () => true,
        () => true,
      );
      if (await Promise.race([gone, this.#options.delay(grace).then(() => false)])) return false;
    }
    await this.#switchOff();
    return true;
  }

  /** Switches the machine off, as pulling the plug would; settles when it is gone. */
  stop(): Promise<void> {
    return this.#switchOff();
  }

  async #switchOff(): Promise<void> {
    this.#thread.link.request(REQUEST.stop);
    const gone = this.#end.then(
      () => true,
      () => true,
    );
    await Promise.race([gone, this.#options.delay(STOP_GRACE_MS)]);
    await this.#thread.terminate();
    await gone;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #answer(): void {
    this.#thread.link.answerDoorbell();
    for (const line of this.#lines) line.drain();
    for (const line of this.#lines) line.pump();
  }

  #close(reason: VivError): void {
    this.#ended = true;
    for (const line of this.#lines) {
      line.drain();
      line.close();
    }
    this.#exec?.close(reason);
  }
}
