/** The host's end of a machine's thread, whatever kind of worker that is: turns its messages and its death into promises. */
import { VivError } from "../base/index.ts";
import type { CpuStatistics } from "../cpu/index.ts";
import { HostLink } from "./link.ts";
import type { MachineEnd } from "./machine.ts";
import type { MachineMessage } from "./machine-protocol.ts";
import type { MachineThread } from "./virtual-machine.ts";

const crashed = (cause: unknown): VivError =>
  new VivError(
    "vm.crashed",
    `the machine failed inside (${cause instanceof Error ? cause.message : String(cause)}); this is a fault of Vivarium's, please report it`,
    { cause },
  );

export class MachineHandle implements MachineThread {
  readonly link = new HostLink();
  readonly ended: Promise<MachineEnd>;
  /** Settles when the guest's first instruction is next; rejects where the machine cannot be made. */
  readonly started: Promise<void>;
  readonly #terminate: () => Promise<void>;
  #statistics: CpuStatistics | undefined;
  #threadId: number | undefined;
  #answer = (): void => undefined;
  #start!: () => void;
  #end!: (end: MachineEnd) => void;
  #fail!: (error: VivError) => void;

  /** `terminate` ends the thread by force. */
  constructor(terminate: () => Promise<void>) {
    this.#terminate = terminate;
    this.ended = new Promise((resolve, reject) => {
      this.#end = resolve;
      this.#fail = reject;
    });
    // Whoever asks later still gets the reason.
    this.ended.catch(() => undefined);
    const running = new Promise<void>((resolve) => {
      this.#start = resolve;
    });
    this.started = Promise.race([running, this.ended.then(() => undefined)]);
    this.started.catch(() => undefined);
  }

  get statistics(): CpuStatistics | undefined {
    return this.#statistics;
  }

  get threadId(): number | undefined {
    return this.#threadId;
  }

  /** The thread sent this. */
  receive(message: MachineMessage): void {
    switch (message.kind) {
      case "doorbell":
        this.#answer();
        break;
      case "started":
        this.#threadId = message.threadId;
        this.#start();
        break;
      case "ended":
        this.#statistics = message.statistics;
        this.#end(message.end);
        break;
      case "failed":
        this.#fail(new VivError(message.code, message.message));
    }
  }

  /** The thread died of an error of ours. */
  crashed(cause: unknown): void {
    this.#fail(crashed(cause));
  }

  /** The thread is gone. Changes nothing where it has said how it ended. */
  gone(): void {
    this.#end({ reason: "stopped" });
  }

  onDoorbell(listener: () => void): void {
    this.#answer = listener;
    // It may have rung before anyone listened.
    listener();
  }

  async terminate(): Promise<void> {
    await this.#terminate();
    this.gone();
  }
}

/** What can be handed to another thread whole instead of copied: bytes that have a buffer of their own. */
export const ownBuffers = (...parts: (Uint8Array | string | undefined)[]): ArrayBuffer[] =>
  parts.flatMap((part) =>
    part instanceof Uint8Array && part.buffer instanceof ArrayBuffer && part.byteLength === part.buffer.byteLength
      ? [part.buffer]
      : [],
  );
