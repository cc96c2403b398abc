/** Signals that ask `viv` to end: noted from the first moment, and passed to whoever can do something about them. */
import { constants } from "node:os";
import { EXIT } from "./exit-status.ts";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const;

export interface Interruption {
  /** Of the last signal, as a shell would have it; 0 where there was none. */
  readonly status: number;
  /** Settles at a signal that comes before anyone listens. */
  readonly early: Promise<undefined>;
  listen(listener: (signal: NodeJS.Signals, count: number) => void): void;
  end(): void;
}

export function watchSignals(): Interruption {
  let count = 0;
  let status = 0;
  let listener: ((signal: NodeJS.Signals, count: number) => void) | undefined;
  let giveUp!: (value: undefined) => void;
  const early = new Promise<undefined>((resolve) => {
    giveUp = resolve;
  });
  const handle = (signal: NodeJS.Signals): void => {
    count++;
    status = EXIT.signal + constants.signals[signal];
    if (listener) listener(signal, count);
    else giveUp(undefined);
  };
  for (const signal of SIGNALS) process.on(signal, handle);
  return {
    get status() {
      return status;
    },
    early,
    listen: (l) => {
      listener = l;
    },
    end: () => {
      for (const signal of SIGNALS) process.off(signal, handle);
    },
  };
}
