/**
 * `viv run` without a command: the default guest's shell on this terminal (from a pipe or a file, it is a script that the
 * shell reads), or the serial console of a kernel of the user's.
 */
import type { ReadStream } from "node:tty";
import { chooseAccelerator } from "../sys/node/accelerator.ts";
import { Terminal } from "../sys/node/terminal.ts";
import { Vm } from "../sys/node/vm.ts";
import type { MachineConfig } from "../vmm/index.ts";
import { EscapeKeys, keyHelp } from "./escape-keys.ts";
import { EXIT, statusOfEnd } from "./exit-status.ts";
import { watchSignals } from "./interruption.ts";
import { writeTo } from "./output.ts";
import { progressDisplay } from "./progress.ts";
import { runCommand } from "./run-command.ts";
import { statisticsText } from "./statistics.ts";
import { setV8FlagsForRun } from "./v8-flags.ts";
import type { Verbosity } from "./verbosity.ts";

export async function runConsole(config: MachineConfig, verbosity: Verbosity): Promise<number> {
  const { stdin, stdout, stderr } = process;
  const say = (text: string): void => void (verbosity.quiet || stderr.write(`viv: ${text}\n`));
  const ownKernel = config.kernel !== undefined;
  const interactive = stdin.isTTY;
  // A script has no use for a prompt, an echo and a terminal's control characters.
  if (!ownKernel && !interactive) return runCommand(config, ["sh"], verbosity);
  const terminal = new Terminal(stdin as ReadStream, stdout);
  const interruption = watchSignals();
  const progress = progressDisplay(stderr);

  let started: Vm | undefined;

  try {
    const starting = Vm.start({
      ...config,
      ...(ownKernel ? {} : { console: { ...terminal.size, ...termOf(process.env["TERM"]) } }),
      ...(verbosity.quiet ? {} : { onProgress: progress.listener }),
    });
    await using vm = await Promise.race([starting, interruption.early]);
    started = vm;
    setV8FlagsForRun();
    progress.end();
    if (vm === undefined) return interruption.status;
    const { title, reason } = await chooseAccelerator();
    if (vm.unlisted) say(`not in viv ps: ${vm.unlisted.message}`);
    say(`${title} (${reason})${interactive ? "; Ctrl-A H for help" : ""}`);
    let brokenPipe = false;
    stdout.once("error", () => {
      brokenPipe = true;
      void vm.stop();
    });
    interruption.listen(() => void vm.stop());
    vm.console.listen((data) => writeTo(stdout, data));
    let shellStatus: number | undefined;
    if (!ownKernel) void vm.consoleExit.then((status) => (shellStatus = status));

    if (interactive) {
      terminal.onResize(({ rows, columns }) => vm.resize(rows, columns));
      terminal.enterRaw();
    }
    const left = { byKey: false };
    void feed(vm, interactive ? new EscapeKeys("run") : undefined, {
      leave: () => {
        left.byKey = true;
        void vm.stop();
      },
      help: () => void stderr.write(["", ...keyHelp("run"), ""].join("\r\n")),
    }).catch(() => undefined);
    const end = await vm.wait();
    if (!brokenPipe) await vm.console.drained();
    terminal.leaveRaw();
    if (interactive) stdout.write("\n");
    if (left.byKey) return EXIT.ok;
    if (interruption.status !== 0) return interruption.status;
    return statusOfEnd(end, shellStatus, say);
  } finally {
    terminal.leaveRaw();
    progress.end();
    interruption.end();
    if (config.stats === true && started) stderr.write(statisticsText(started.statistics, verbosity.json === true));
  }
}

export const termOf = (term: string | undefined): { term?: string } => (term === undefined ? {} : { term });

interface Feeding {
  leave(): void;
  help(): void;
}

/** Brings what is typed to the guest, at the guest's pace. */
async function feed(vm: Vm, keys: EscapeKeys | undefined, feeding: Feeding): Promise<void> {
  for await (const data of process.stdin as AsyncIterable<Uint8Array>) {
    if (keys === undefined) {
      await vm.console.write(data);
      continue;
    }
    const { pass, commands } = keys.push(data);
    // Not waited for: Ctrl-A X has to be heard when the guest takes nothing any more.
    void vm.console.write(pass);
    for (const command of commands) {
      if (command === "leave") feeding.leave();
      else feeding.help();
    }
  }
}
