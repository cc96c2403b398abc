/** `viv inspect NAME WHAT`: what runs inside a guest, read out of its memory. */
import { decodeUtf8, VivError } from "../base/index.ts";
import type { LogRecord } from "../guest/dmesg.ts";
import { forTerminal } from "../guest/escape.ts";
import type { DirectoryEntry } from "../guest/file-tree.ts";
import type { Listing } from "../guest/lists.ts";
import type { MemoryArea } from "../guest/maps.ts";
import { formatGva } from "../guest/memory.ts";
import type { Module } from "../guest/modules.ts";
import type { Mount } from "../guest/mounts.ts";
import type { NetworkDevice } from "../guest/network-devices.ts";
import type { OpenFile } from "../guest/open-files.ts";
import type { Socket } from "../guest/sockets.ts";
import type { Process } from "../guest/tasks.ts";
import { connectGuest } from "../sys/node/registry/guests.ts";
import type { TaskStack } from "../vmm/observer/inspect.ts";
import { INSPECTIONS, type Inspection } from "../vmm/observer/orders.ts";
import { LOOK } from "../vmm/observer/requests.ts";
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
  what: Inspection,
  argument: string | undefined,
  flags: InspectFlags,
): Promise<number> {
  const wanted = wantedOf(what, argument);
  const guest = await connectGuest(name);
  try {
    if (what === "cat") return await cat(guest, wanted.path!);
    const rows = await ask(guest, what, wanted);
    const text = flags.json ? `${JSON.stringify(rows, undefined, 2)}\n` : await show(what, rows, flags);
    await writeTo(process.stdout, Buffer.from(text));
    return EXIT.ok;
  } finally {
    guest.disconnect();
  }
}

function wantedOf(what: Inspection, argument: string | undefined): { pid?: number; path?: string } {
  const needs: { readonly pid?: true; readonly path?: true } = INSPECTIONS[what];
  if (!needs.pid && !needs.path) {
    if (argument !== undefined)
      throw new VivError("usage.inspect", `${what} takes no argument: leave "${argument}" out`);
    return {};
  }
  if (needs.path) {
    if (argument === undefined && what !== "ls")
      throw new VivError("usage.inspect", `name a file of the guest: viv inspect NAME ${what} PATH`);
    return { path: argument ?? "/" };
  }
  const pid = Number(argument);
  if (argument === undefined || !/^\d+$/.test(argument)) {
    throw new VivError(
      "usage.inspect",
      `name a process by its number: viv inspect NAME ${what} PID; viv inspect NAME tasks lists them`,
    );
  }
  return { pid };
}

async function ask(guest: RemoteVm, what: Inspection, wanted: { pid?: number; path?: string }): Promise<unknown> {
  const parts: Uint8Array[] = [];
  const output = { rows: (data: Uint8Array) => void parts.push(data.slice()) };
  await guest.connection.request(LOOK.inspect, { what, pid: wanted.pid, path: wanted.path }, { output }).answer;
  return JSON.parse(decodeUtf8(Buffer.concat(parts)));
}

async function cat(guest: RemoteVm, path: string): Promise<number> {
  const bytes = (data: Uint8Array) => writeTo(process.stdout, data.slice());
  const { holes } = await guest.connection.request(LOOK.readFile, { path }, { output: { bytes } }).answer;
  if (holes.length === 0) return EXIT.ok;
  const missing = holes.reduce((sum, { length }) => sum + length, 0);
  process.stderr.write(
    `viv: ${forTerminal(path)}: ${missing} bytes are left out, from ${holes[0]!.offset} on (${holes[0]!.why})\n`,
  );
  return EXIT.failure;
}

/** Users as JSON has them. */
type WithUsers = { readonly users?: readonly (readonly [number, string])[] };
const usersOf = ({ users }: WithUsers): ReadonlyMap<number, string> | undefined => users && new Map(users);

// What comes is what `inspect` of this version gives: the guest's process speaks the same version, or refuses. What shows it is
// loaded for what is shown: half of the time this command takes is for loading.
async function show(what: Inspection, rows: unknown, { tree, threads }: InspectFlags): Promise<string> {
  switch (what) {
    case "names": {
      const { kernel, hostname } = rows as { kernel: string; hostname?: string };
      return `${forTerminal(hostname ?? "?")} ${forTerminal(kernel)}\n`;
    }
    case "tasks": {
      const users = usersOf(rows as WithUsers);
      const { showTasks } = await import("../guest/show/tasks.ts");
      return showTasks(rows as Listing<Process>, { tree, threads, ...(users && { users }) });
    }
    case "modules":
      return (await import("../guest/show/modules.ts")).showModules(rows as readonly Module[]);
    case "maps":
      return (await import("../guest/show/maps.ts")).showMaps(rows as Listing<MemoryArea>);
    case "files":
      return (await import("../guest/show/files.ts")).showOpenFiles(rows as Listing<OpenFile>);
    case "ls":
      return (await import("../guest/show/files.ts")).showDirectory(
        rows as Listing<DirectoryEntry>,
        usersOf(rows as WithUsers),
      );
    case "dmesg":
      return (await import("../guest/show/dmesg.ts")).showKernelLog(rows as Listing<LogRecord>);
    case "stack":
      return (rows as readonly TaskStack[]).map(showStack).join("\n");
    case "mounts":
      return (await import("../guest/show/mounts.ts")).showMounts(rows as Listing<Mount>);
    case "net": {
      const { devices, sockets } = rows as { devices: Listing<NetworkDevice>; sockets: Listing<Socket> };
      const { showNetworkDevices, showSockets } = await import("../guest/show/net.ts");
      return `${showNetworkDevices(devices)}\n${showSockets(sockets)}`;
    }
    case "cat":
      return "";
  }
}

function showStack({ tid, comm, state, frames, truncated }: TaskStack): string {
  const lines = frames.map(({ address, name, offset, from }) => {
    const place = name === undefined ? "[unknown]" : `${name}+0x${(offset ?? 0).toString(16)}`;
    return `  ${formatGva(address)} ${forTerminal(place)} (${forTerminal(from)})\n`;
  });
  const end = truncated === undefined ? "" : `  … ${truncated}\n`;
  return `${tid} ${forTerminal(comm)} ${state}\n${lines.join("")}${end}`;
}
