/** `viv run -- COMMAND`: a command in the default guest, with its streams, its signals and its exit status as ours. */
import { constants } from "node:os";
import { VivError } from "../base/index.ts";
import { Vm } from "../sys/node/vm.ts";
import type { MachineConfig } from "../vmm/index.ts";
import { EXIT } from "./exit-status.ts";
import { watchSignals } from "./interruption.ts";
import { writeTo } from "./output.ts";
import { progressDisplay } from "./progress.ts";
import { statisticsText } from "./statistics.ts";
import { setV8FlagsForRun } from "./v8-flags.ts";
import type { Verbosity } from "./verbosity.ts";

export async function runCommand(
  config: MachineConfig,
  command: readonly string[],
  verbosity: Verbosity,
): Promise<number> {
  if (config.kernel !== undefined) {
    throw new VivError("usage.command", "a command after -- runs in the default guest; with --kernel there is none");
  }
  const interruption = watchSignals();
  const progress = progressDisplay(process.stderr);
  // A guest that resets has crashed or was told to: either way the command is gone.
  const starting = Vm.start({
    onReset: "exit",
    ...config,
    ...(verbosity.quiet ? {} : { onProgress: progress.listener }),
  });
  let started: Vm | undefined;
  try {
    await using vm = await Promise.race([starting, interruption.early]);
    started = vm;
    setV8FlagsForRun();
    progress.end();
    if (vm === undefined) return interruption.status;
    if (verbosity.verbose) vm.console.listen((data) => writeTo(process.stderr, data));
    const brokenPipe = new Promise<number>((resolve) => {
      process.stdout.once("error", () => resolve(EXIT.signal + constants.signals.SIGPIPE));
    });
    let up = false;
    void vm.ready.then(
      () => {
        up = true;
      },
      () => undefined,
    );
    interruption.listen((signal, count) => {
      // Before the guest is up there is no command to signal, and one that ignores a signal is not asked twice.
      if (up && count === 1) vm.signal(signal.slice("SIG".length));
      else void vm.stop();
    });
    const run = vm.exec(command, {
      stdin: process.stdin,
      onStdout: (data) => writeTo(process.stdout, data),
      onStderr: (data) => writeTo(process.stderr, data),
    });
    return await Promise.race([run.then(({ exitCode }) => exitCode), brokenPipe]).catch((error: unknown) => {
      if (interruption.status !== 0) return interruption.status;
      if (!verbosity.quiet && !verbosity.verbose) vm.console.listen((data) => writeTo(process.stderr, data));
      throw error;
    });
  } finally {
    progress.end();
    interruption.end();
    if (config.stats === true && started)
      process.stderr.write(statisticsText(started.statistics, verbosity.json === true));
  }
}
