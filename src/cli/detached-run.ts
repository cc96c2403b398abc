/** Runs a guest without a terminal: to its end, or to a signal. It is told everything on one descriptor, and reports there once. */
import { Socket } from "node:net";
import { VivError } from "../base/errors.ts";
import { Vm } from "../sys/node/vm.ts";
import { type DetachedReport, type DetachedStart, REPORT } from "./detach.ts";
import { EXIT, messageOf } from "./exit-status.ts";
import { watchSignals } from "./interruption.ts";
import { progressDisplay } from "./progress.ts";
import { setV8FlagsForRun } from "./v8-flags.ts";

/** Until somebody attaches. */
const TERMINAL = { rows: 24, columns: 80, term: "vt100" };

export async function runDetachedGuest(): Promise<number> {
  const interruption = watchSignals();
  // Whoever started us reads them only until the guest runs.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);
  const line = new Socket({ fd: REPORT, allowHalfOpen: true });
  line.on("error", () => undefined);
  const report = (what: DetachedReport): void => void line.end(JSON.stringify(what));
  let text = "";
  for await (const data of line.setEncoding("utf8").iterator({ destroyOnReturn: false })) text += String(data);
  const { config, command, quiet } = JSON.parse(text) as DetachedStart;
  try {
    const progress = progressDisplay(process.stderr);
    const starting = Vm.start({
      ...config,
      ...(config.kernel === undefined && command.length === 0 ? { console: TERMINAL } : {}),
      ...(quiet ? {} : { onProgress: progress.listener }),
    });
    await using vm = await Promise.race([starting, interruption.early]);
    if (vm === undefined) return interruption.status;
    setV8FlagsForRun();
    // A guest that nobody can find would run for ever.
    if (vm.unlisted) throw vm.unlisted;
    // Its files are open: no directory is held any more.
    process.chdir("/");
    interruption.listen(() => void vm.stop());
    report({ name: vm.name!, id: vm.id! });
    if (command.length > 0) await vm.runOnConsole(command);
    await vm.wait();
    return interruption.status;
  } catch (error) {
    const code = error instanceof VivError ? error.code : "detach.failed";
    report({ code, message: messageOf(error, false) ?? String(error) });
    return EXIT.failure;
  } finally {
    interruption.end();
    // Where a signal came first there is no report: its end says so, and nobody waits for the other.
    line.end();
    if (!line.destroyed && !line.writableFinished) await new Promise((resolve) => line.once("close", resolve));
  }
}
