/** The host's end of the thread that looks into a guest. */
import { MessageChannel, type Worker } from "node:worker_threads";
import { VivError } from "../../base/index.ts";
import type { ObserverStart } from "../../vmm/observer/observer.ts";
import type { GuestObserver, ObserverOrder, ObserverPart, OrderUnderWay } from "../../vmm/observer/orders.ts";
import type { ObserverMessage, ObserverReply } from "./observer-worker.ts";
import { takeWorker } from "./worker.ts";

/** A thread that nobody asks anything holds its memory no longer. */
const IDLE_MS = 60_000;

export class ObserverThread implements GuestObserver {
  readonly #start: ObserverStart;
  readonly #version: string;
  #worker: Worker | undefined;
  #orders = 0;
  #idle: NodeJS.Timeout | undefined;
  /** Of orders under way. */
  readonly #crash = new Set<(error: unknown) => void>();

  constructor(start: ObserverStart, version: string) {
    this.#start = start;
    this.#version = version;
  }

  order(order: ObserverOrder, onPart: (part: ObserverPart) => Promise<void> | void = () => undefined): OrderUnderWay {
    const worker = this.#running();
    const { port1, port2 } = new MessageChannel();
    this.#orders++;
    clearTimeout(this.#idle);
    let taken: Promise<void> = Promise.resolve();
    let answered = false;
    let crash: (error: unknown) => void = () => undefined;
    const answer = new Promise<unknown>((resolve, reject) => {
      crash = reject;
      this.#crash.add(crash);
      port1.on("message", (reply: ObserverReply) => {
        if (reply.kind === "part") {
          taken = taken.then(() => onPart(reply));
          // The answer tells of it.
          taken.catch(() => undefined);
          return;
        }
        answered = true;
        if (reply.kind === "answer") taken.then(() => resolve(reply.answer), reject);
        else reject(new VivError(reply.code, reply.message));
      });
      port1.on("close", () => {
        // Otherwise what came before is still being taken.
        if (!answered) reject(new VivError("guest.gone", "the guest is gone"));
      });
    }).finally(() => {
      port1.close();
      this.#crash.delete(crash);
      this.#orders--;
      if (this.#orders === 0) this.#idle = setTimeout(() => this.close(), IDLE_MS).unref();
    });
    answer.catch(() => undefined);
    worker.postMessage({ kind: "order", order, port: port2 } satisfies ObserverMessage, [port2]);
    return { answer, stop: () => port1.postMessage("stop") };
  }

  /** Ends the thread; it is made anew when somebody asks again. */
  close(): void {
    clearTimeout(this.#idle);
    void this.#worker?.terminate();
    this.#worker = undefined;
  }

  #running(): Worker {
    if (this.#worker) return this.#worker;
    const worker = takeWorker("observer");
    worker.unref();
    worker.on("error", (error) => {
      this.#worker = undefined;
      const failed = new VivError("guest.look-failed", `looking into the guest failed (${String(error)})`);
      for (const reject of this.#crash) reject(failed);
    });
    worker.postMessage({ kind: "start", version: this.#version, ...this.#start } satisfies ObserverMessage);
    this.#worker = worker;
    return worker;
  }
}
