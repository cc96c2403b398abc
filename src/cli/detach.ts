/**
 * `viv run -d`: the guest gets a process of its own, in a session of its own, and this one ends when that has said how the start went.
 * What the guest's console prints is kept there (`viv logs`).
 */
import { spawn } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { VivError } from "../base/errors.ts";
import type { MachineConfig } from "../vmm/config.ts";
import { EXIT } from "./exit-status.ts";
import { watchSignals } from "./interruption.ts";
import type { Verbosity } from "./verbosity.ts";

/** What the guest's process is told. */
export interface DetachedStart {
  readonly config: MachineConfig;
  readonly command: readonly string[];
  readonly quiet: boolean;
}
/** What it says, once. */
export type DetachedReport =
  | { readonly name: string; readonly id: string }
  | { readonly code: string; readonly message: string };

/** The descriptor that both go over. */
export const REPORT = 3;

export async function runDetached(
  config: MachineConfig,
  command: readonly string[],
  { quiet, json }: Verbosity,
): Promise<number> {
  if (config.unlisted === true) {
    throw new VivError("usage.detach", "--detach and --unlisted do not go together: nobody would find the guest again");
  }
  if (config.stats === true) {
    throw new VivError(
      "usage.detach",
      "--stats prints at the guest's end, where with --detach nobody is: leave one out",
    );
  }
  if (command.length > 0 && config.kernel !== undefined) {
    throw new VivError("usage.command", "a command after -- runs in the default guest; with --kernel there is none");
  }
  // From before there is a process that would be left behind.
  const interruption = watchSignals();
  const file = fileURLToPath(new URL("detached-guest.js", import.meta.url));
  // With the flags that the command itself has.
  const child = spawn(process.execPath, [...process.execArgv, file], {
    detached: true,
    stdio: ["ignore", "ignore", "pipe", "pipe"],
  });
  const errors = child.stderr as Readable;
  errors.pipe(process.stderr, { end: false });
  const line = child.stdio[REPORT] as Readable & Writable;
  const start: DetachedStart = { config, command, quiet };
  line.end(JSON.stringify(start));
  // It does not hear this terminal's Ctrl-C.
  interruption.listen((signal) => child.kill(signal));
  if (interruption.status !== 0) child.kill();
  const report = await read(line);
  interruption.end();
  errors.destroy();
  child.unref();
  if (interruption.status !== 0 && "message" in report) return interruption.status;
  if ("message" in report) throw new VivError(report.code, report.message);
  process.stdout.write(json === true ? `${JSON.stringify(report)}\n` : `${report.name}\n`);
  return EXIT.ok;
}

async function read(line: Readable): Promise<DetachedReport> {
  let text = "";
  try {
    // Ends with the process, too.
    for await (const data of line.setEncoding("utf8")) text += String(data);
  } catch {
    // Which may not even have read what it was told.
  }
  if (text === "") {
    return {
      code: "detach.died",
      message: "the guest's process ended before it could say why; run the guest without -d",
    };
  }
  return JSON.parse(text) as DetachedReport;
}
