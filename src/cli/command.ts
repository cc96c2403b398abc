/** A command line, from its words to the exit status. */
import { EXIT, messageOf, statusOf } from "./exit-status.ts";
import { flushed } from "./output.ts";
import { type Actions, runProgram } from "./program.ts";

/** Each is loaded only where it runs. */
const actions: Actions = {
  runCommand: async (...given) => (await import("./run-command.ts")).runCommand(...given),
  runConsole: async (...given) => (await import("./run-console.ts")).runConsole(...given),
  runDetached: async (...given) => (await import("./detach.ts")).runDetached(...given),
  listGuests: async (...given) => (await import("./ps.ts")).listCommand(...given),
  attach: async (...given) => (await import("./attach.ts")).attachCommand(...given),
  execute: async (...given) => (await import("./exec.ts")).execCommand(...given),
  stop: async (...given) => (await import("./guest-commands.ts")).stopCommand(...given),
  kill: async (...given) => (await import("./guest-commands.ts")).killCommand(...given),
  pause: async (...given) => (await import("./guest-commands.ts")).pauseCommand(...given),
  resume: async (...given) => (await import("./guest-commands.ts")).resumeCommand(...given),
  logs: async (...given) => (await import("./logs.ts")).logsCommand(...given),
  listImages: async (...given) => (await import("./images.ts")).listCommand(...given),
  buildImage: async (...given) => (await import("./images.ts")).buildCommand(...given),
  removeImages: async (...given) => (await import("./images.ts")).removeCommand(...given),
  doctor: async (...given) => (await import("./doctor.ts")).doctorCommand(...given),
};

/** Runs `argv`, without node and the script; standard output and error are written out when it settles. */
export async function runArguments(argv: readonly string[]): Promise<number> {
  // Whoever reads us may go away at any time; the commands that care have listeners of their own.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);
  const status = await statusFor(argv);
  await Promise.all([flushed(process.stdout), flushed(process.stderr)]);
  return status;
}

async function statusFor(argv: readonly string[]): Promise<number> {
  const ours = argv.includes("--") ? argv.slice(0, argv.indexOf("--")) : argv;
  try {
    return await runProgram(argv, actions, {
      out: (text) => process.stdout.write(text),
      err: (text) => process.stderr.write(text),
    });
  } catch (error) {
    const verbose = ours.includes("-v") || ours.includes("--verbose");
    const message = messageOf(error, verbose);
    if (message !== undefined) process.stderr.write(`viv: ${message}\n`);
    return statusOf(error, argv.length > ours.length ? EXIT.notRun : EXIT.failure);
  }
}
