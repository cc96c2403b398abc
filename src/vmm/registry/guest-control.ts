/** What every guest answers over its control socket (requests.ts has the rows). */
import { VivError } from "../../base/index.ts";
import type { MachineEnd } from "../machine.ts";
import type { GuestObserver } from "../observer/orders.ts";
import type { VirtualMachine } from "../virtual-machine.ts";
import type { GuestClaims, GuestEntry } from "./guest.ts";
import { CONTROL, type GuestEnd } from "./requests.ts";
import type { GuestControls } from "./server.ts";

/** The guest that is asked, for handlers. */
export interface ControlledGuest {
  readonly entry: GuestEntry;
  readonly vm: VirtualMachine;
  /** What the guest says of itself. Set by the room that looks inside; asked each time the guest is listed, so it must be quick. */
  claims?: (() => GuestClaims) | undefined;
  /** Milliseconds of processor time of the vCPUs' threads. */
  cpuTime(): number | undefined;
  /** Settles after about this long. */
  delay(milliseconds: number): Promise<void>;
  /** Milliseconds of a monotonic clock. */
  now(): number;
  /** The thread that looks inside, made when it is first asked for. */
  observer(): Promise<GuestObserver>;
}

/** Enters handlers. A room with requests of its own has one of these, loaded when somebody asks for the first time. */
export type ControlRoom = (guest: ControlledGuest, controls: GuestControls) => void;

/** A command whose client is gone has this long to end by itself. */
const CANCEL_GRACE_MS = 2_000;

/** Answered by being done. */
const done = (work: () => void) => (): Record<string, never> => {
  work();
  return {};
};

const nobodyWaits = (): VivError => new VivError("control.cancelled", "the request was cancelled");

async function endOf(vm: VirtualMachine): Promise<GuestEnd> {
  let consoleStatus: number | undefined;
  void vm.consoleExit.then(
    (status) => {
      consoleStatus = status;
    },
    () => undefined,
  );
  const end: MachineEnd = await vm.wait();
  return { ...end, consoleStatus };
}

export const controlGuest: ControlRoom = ({ vm, delay }, controls) => {
  controls.handle(
    CONTROL.pause,
    done(() => vm.pause()),
  );
  controls.handle(
    CONTROL.resume,
    done(() => vm.resume()),
  );
  controls.handle(
    CONTROL.reset,
    done(() => vm.reset()),
  );
  controls.handle(
    CONTROL.powerButton,
    done(() => vm.pressPowerButton()),
  );
  controls.handle(
    CONTROL.nmi,
    done(() => vm.raiseNmi()),
  );
  controls.handle(CONTROL.stop, async ({ parameters }) => ({ forced: await vm.shutDown(parameters.grace) }));
  controls.handle(CONTROL.wait, ({ onCancel }) => {
    const cancelled = new Promise<never>((_, reject) => {
      onCancel(() => reject(nobodyWaits()));
    });
    return Promise.race([endOf(vm), cancelled]);
  });

  controls.handle(CONTROL.exec, async ({ parameters, input, output, onMessage, onCancel }) => {
    const { argv, env, cwd, stdin } = parameters;
    const command = vm.run(argv, {
      ...(env ? { env } : {}),
      ...(cwd === undefined ? {} : { cwd }),
      ...(stdin ? { stdin: input.stdin } : {}),
      onStdout: (data) => output.stdout.write(data.slice()),
      onStderr: (data) => output.stderr.write(data.slice()),
    });
    onMessage(({ signal }) => {
      // Before its turn there is nothing to signal, and nothing to wait for.
      if (!command.signal(signal)) command.cancel();
    });
    onCancel(() => {
      // One command runs at a time: one that nobody waits for must not hold up the others for ever.
      if (!command.signal("TERM")) command.cancel();
      else void delay(CANCEL_GRACE_MS).then(() => command.cancel());
    });
    return command.result;
  });

  controls.handle(CONTROL.attach, async ({ parameters, input, output, onMessage, onCancel, cancelled }) => {
    const reader = vm.console.reader(parameters.backlog);
    onCancel(() => reader.close());
    onMessage(({ rows, columns }) => vm.resize(rows, columns));
    if (parameters.size) vm.resize(parameters.size.rows, parameters.size.columns);
    const end = endOf(vm);
    void (async () => {
      for await (const keys of input.keys) await vm.console.write(keys);
    })();
    for (let data = await reader.read(); data; data = await reader.read()) await output.screen.write(data);
    reader.close();
    if (cancelled()) throw nobodyWaits();
    return end;
  });

  controls.handle(CONTROL.logs, async ({ parameters, output, onCancel }) => {
    const reader = vm.console.reader(Number.POSITIVE_INFINITY);
    onCancel(() => reader.close());
    try {
      if (parameters.follow)
        for (let data = await reader.read(); data; data = await reader.read()) await output.log.write(data);
      else {
        // What comes meanwhile is not asked for: it may never end.
        for (let left = reader.pending; left > 0; ) {
          const data = reader.readNow();
          await output.log.write(data.subarray(0, left));
          left -= data.length;
        }
      }
      return { dropped: reader.missed };
    } finally {
      reader.close();
    }
  });
};
