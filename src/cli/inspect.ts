/** `viv inspect NAME WHAT`: what runs inside a guest, read out of its memory. */
import { VivError } from "../base/index.ts";
import { forTerminal } from "../guest/escape.ts";
import { formatGva } from "../guest/memory.ts";
import { connectGuest } from "../sys/node/registry/guests.ts";
import {
  INSPECTIONS,
  type Inspection,
  type InspectionSubject,
  type Inspections,
  type TaskStack,
  type UserNames,
} from "../vmm/observer/inspections.ts";
import type { RemoteVm } from "../vmm/registry/remote-vm.ts";
import { EXIT } from "./exit-status.ts";
import { writeTo } from "./output.ts";

export interface InspectFlags {
  readonly json: boolean;
  /** Of tasks: parents and children, and each thread a line. */
  readonly tree: boolean;
  readonly threads: boolean;
}

/** `argument`: a process's number or a path. */
export async function inspectCommand(
  name: string,
  what: Inspection | "cat",
  argument: string | undefined,
  flags: InspectFlags,
): Promise<number> {
  const subject = what === "cat" ? [pathOf(what, argument)] : subjectOf(what, argument);
  const guest = await connectGuest(name);
  try {
    if (what === "cat") return await cat(guest, String(subject[0]));
    const text = await listed(guest, what, subject as InspectionSubject<typeof what>, flags);
    await writeTo(process.stdout, Buffer.from(text));
    return EXIT.ok;
  } finally {
    guest.disconnect();
  }
}

const usage = (message: string): VivError => new VivError("usage.inspect", message);

function pathOf(what: Inspection | "cat", argument: string | undefined): string {
  if (argument !== undefined) return argument;
  if (what === "ls") return "/";
  throw usage(`name a file of the guest: viv inspect NAME ${what} PATH`);
}

function subjectOf(what: Inspection, argument: string | undefined): readonly (number | string)[] {
  const needs: { readonly pid?: true; readonly path?: true } = INSPECTIONS[what];
  if (needs.path) return [pathOf(what, argument)];
  if (!needs.pid) {
    if (argument === undefined) return [];
    throw usage(`${what} takes no argument: leave "${argument}" out`);
  }
  if (argument !== undefined && /^\d+$/.test(argument)) return [Number(argument)];
  throw usage(`name a process by its number: viv inspect NAME ${what} PID; viv inspect NAME tasks lists them`);
}

async function listed<What extends Inspection>(
  guest: RemoteVm,
  what: What,
  subject: InspectionSubject<What>,
  flags: InspectFlags,
): Promise<string> {
  const rows = await guest.inspect(what, ...subject);
  return flags.json ? `${JSON.stringify(rows, undefined, 2)}\n` : await SHOWN[what](rows, flags);
}

async function cat(guest: RemoteVm, path: string): Promise<number> {
  const file = guest.readFile(path);
  for await (const bytes of file) await writeTo(process.stdout, bytes);
  const holes = await file.holes;
  if (holes.length === 0) return EXIT.ok;
  const missing = holes.reduce((sum, { length }) => sum + length, 0);
  process.stderr.write(
    `viv: ${forTerminal(path)}: ${missing} bytes are left out, from ${holes[0]!.offset} on (${holes[0]!.why})\n`,
  );
  return EXIT.failure;
}

const usersOf = ({ users }: UserNames): ReadonlyMap<number, string> | undefined => users && new Map(users);

/** As text. What shows it is loaded for what is shown: half of the time this command takes is for loading. */
const SHOWN: {
  readonly [What in Inspection]: (rows: Inspections[What], flags: InspectFlags) => Promise<string> | string;
} = {
  names: ({ kernel, hostname }) => `${forTerminal(hostname ?? "?")} ${forTerminal(kernel)}\n`,
  tasks: async (rows, { tree, threads }) => {
    const users = usersOf(rows);
    return (await import("../guest/show/tasks.ts")).showTasks(rows, { tree, threads, ...(users && { users }) });
  },
  modules: async (rows) => (await import("../guest/show/modules.ts")).showModules(rows),
  maps: async (rows) => (await import("../guest/show/maps.ts")).showMaps(rows),
  files: async (rows) => (await import("../guest/show/files.ts")).showOpenFiles(rows),
  ls: async (rows) => (await import("../guest/show/files.ts")).showDirectory(rows, usersOf(rows)),
  dmesg: async (rows) => (await import("../guest/show/dmesg.ts")).showKernelLog(rows),
  stack: (stacks) => stacks.map(showStack).join("\n"),
  mounts: async (rows) => (await import("../guest/show/mounts.ts")).showMounts(rows),
  net: async ({ devices, sockets }) => {
    const { showNetworkDevices, showSockets } = await import("../guest/show/net.ts");
    return `${showNetworkDevices(devices)}\n${showSockets(sockets)}`;
  },
};

function showStack({ tid, comm, state, frames, truncated }: TaskStack): string {
  const lines = frames.map(({ address, name, offset, from }) => {
    const place = name === undefined ? "[unknown]" : `${name}+0x${(offset ?? 0).toString(16)}`;
    return `  ${formatGva(address)} ${forTerminal(place)} (${forTerminal(from)})\n`;
  });
  const end = truncated === undefined ? "" : `  … ${truncated}\n`;
  return `${tid} ${forTerminal(comm)} ${state}\n${lines.join("")}${end}`;
}
