/** The thread that looks into a guest: made when somebody asks for the first time, gone when nobody has for a while. */
import { cpus, hostname, release } from "node:os";
import { performance } from "node:perf_hooks";
import { type MessagePort, parentPort } from "node:worker_threads";
import { VivError } from "../../base/index.ts";
import { Observer, type ObserverStart } from "../../vmm/observer/observer.ts";
import type { ObserverOrder, ObserverPart } from "../../vmm/observer/orders.ts";
import { recordingParts } from "../../vmm/observer/recording-parts.ts";
import { debugFile } from "./debug-files.ts";

/** The first message, and all that follow. */
export type ObserverMessage =
  | ({ readonly kind: "start"; readonly version: string } & ObserverStart)
  | { readonly kind: "order"; readonly order: ObserverOrder; readonly port: MessagePort };

/** What comes back over an order's port. */
export type ObserverReply =
  | ({ readonly kind: "part" } & ObserverPart)
  | { readonly kind: "answer"; readonly answer: unknown }
  | { readonly kind: "failed"; readonly code: string; readonly message: string };

const NS_PER_MS = 1e6;
/** Up to here the thread sleeps to the microsecond; beyond, its event loop's millisecond will do. */
const EXACT_MS = 5;

const cell = new Int32Array(new SharedArrayBuffer(4));
const sleep = (milliseconds: number): void => {
  if (milliseconds > 0) Atomics.wait(cell, 0, 0, milliseconds);
};
const pause = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => {
    if (milliseconds > EXACT_MS) {
      setTimeout(resolve, milliseconds);
      return;
    }
    sleep(milliseconds);
    setImmediate(resolve);
  });

let observer: Observer | undefined;

parentPort?.on("message", (message: ObserverMessage) => {
  if (message.kind === "start") {
    const { version, ...start } = message;
    const processors = cpus();
    observer = new Observer(start, {
      now: () => Math.floor(performance.now() * NS_PER_MS),
      wallTime: () => Date.now(),
      pause,
      sleep,
      debugFiles: debugFile,
      about: {
        hostname: hostname(),
        hostKernel: release(),
        cpu: processors[0]?.model ?? "unknown",
        cpus: processors.length,
        version,
      },
    });
    return;
  }
  void serve(observer!, message.order, message.port);
});

async function serve(observer: Observer, order: ObserverOrder, port: MessagePort): Promise<void> {
  const say = (reply: ObserverReply): void => port.postMessage(reply);
  try {
    say({ kind: "answer", answer: await answerTo(observer, order, port, say) });
  } catch (error) {
    const known = error instanceof VivError;
    const message = error instanceof Error ? error.message : String(error);
    say({
      kind: "failed",
      code: known ? error.code : "guest.look-failed",
      message: known
        ? message
        : `looking into the guest failed (${message}); this is a fault of Vivarium's, please report it`,
    });
  } finally {
    port.close();
  }
}

async function answerTo(
  observer: Observer,
  order: ObserverOrder,
  port: MessagePort,
  say: (reply: ObserverReply) => void,
): Promise<unknown> {
  // Whatever the other end sends means: that is enough.
  const stop = new Promise<void>((resolve) => {
    port.once("message", () => resolve());
    port.once("close", () => resolve());
  });
  switch (order.kind) {
    case "inspect":
      return observer.inspect(order);
    case "cat": {
      const holes: unknown[] = [];
      for (const bytes of observer.readFile(order.path, (hole) => holes.push(hole)))
        say({ kind: "part", name: "bytes", bytes });
      return { holes };
    }
    case "record":
      await observer.record(order, stop, async (profile, memory) => {
        for (const part of recordingParts(profile, memory)) say({ kind: "part", ...part });
      });
      return {};
    case "exits":
      return observer.count(order, stop);
  }
}
