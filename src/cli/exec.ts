/** `viv exec NAME -- COMMAND`: as `viv run -- COMMAND`, in a guest that runs already. */
import { constants } from "node:os";
import { connectGuest } from "../sys/node/registry/guests.ts";
import { EXIT } from "./exit-status.ts";
import { watchSignals } from "./interruption.ts";
import { writeTo } from "./output.ts";
import type { ExecFlags } from "./program-guests.ts";

export async function execCommand(
  name: string,
  command: readonly string[],
  { stdin, ...options }: ExecFlags,
): Promise<number> {
  const interruption = watchSignals();
  const guest = await connectGuest(name);
  try {
    const run = guest.run(command, {
      ...options,
      ...(stdin ? { stdin: process.stdin } : {}),
      onStdout: (data) => writeTo(process.stdout, data),
      onStderr: (data) => writeTo(process.stderr, data),
    });
    interruption.listen((signal, count) => {
      // One that ignores a signal is not asked twice.
      if (count === 1) run.signal(signal.slice("SIG".length));
      else run.cancel();
    });
    const brokenPipe = new Promise<number>((resolve) => {
      process.stdout.once("error", () => resolve(EXIT.signal + constants.signals.SIGPIPE));
    });
    const exitCode = run.result.then((result) => result.exitCode);
    return await Promise.race([exitCode, brokenPipe]).catch((error: unknown) => {
      if (interruption.status !== 0) return interruption.status;
      throw error;
    });
  } finally {
    interruption.end();
    guest.disconnect();
  }
}
