/** What runs inside a guest, list by list. Each is one look; rows are plain data, as the readers in src/guest give them. */
import { gva, VivError } from "../../base/index.ts";
import { readKernelLog } from "../../guest/dmesg.ts";
import { FileTree } from "../../guest/file-tree.ts";
import { tryRead } from "../../guest/lists.ts";
import type { Look } from "../../guest/look.ts";
import { listMemoryAreas } from "../../guest/maps.ts";
import { listMounts, rootOf } from "../../guest/mounts.ts";
import { listNetworkDevices } from "../../guest/network-devices.ts";
import { listOpenFiles } from "../../guest/open-files.ts";
import { type Missing, readFileParts } from "../../guest/page-cache.ts";
import { listSockets } from "../../guest/sockets.ts";
import { findInit, findProcess, listProcesses, type Process, type Task } from "../../guest/tasks.ts";
import { decodeText } from "../../guest/text.ts";
import { readUsers } from "../../guest/users.ts";
import { readNames } from "../../guest/uts.ts";
import { CodeFiles, type DebugFiles } from "./code-files.ts";
import type { GuestView } from "./guest-view.ts";
import type { InspectOrder } from "./orders.ts";
import { KernelCode, ProcessCode, waitingChain } from "./stacks.ts";

/** A frame of a task's stack. */
export interface StackFrame {
  readonly address: number;
  /** Absent: nobody says. */
  readonly name?: string;
  readonly offset?: number;
  /** Module, or file. */
  readonly from: string;
  readonly kernel: boolean;
}
export interface TaskStack {
  readonly tid: number;
  readonly comm: string;
  readonly state: string;
  readonly frames: readonly StackFrame[];
  /** Why it ends before its thread's start. */
  readonly truncated?: string;
}

const noSuchTask = (pid: number): VivError =>
  new VivError("guest.no-such-task", `the guest has no process ${pid}: viv inspect NAME tasks lists them`);

function processOf(look: Look, pid: number | undefined): Process {
  const found = findProcess(look, pid ?? 0);
  if (!found) throw noSuchTask(pid ?? 0);
  return found;
}

function filesOf(look: Look): FileTree {
  const init = findInit(look);
  if (!init) throw new VivError("guest.no-init", "the guest has no first process yet: it still boots");
  return new FileTree(look, init.at);
}

/** Rows of an inspection other than `cat`, fit for JSON. Throws VivError. */
export function inspect(view: GuestView, { what, pid, path }: InspectOrder, debug?: DebugFiles): unknown {
  if (what === "modules")
    return view.kernel().modules.map((module) => ({ ...module, symbols: undefined, text: undefined }));
  const look = view.look();
  switch (what) {
    case "names":
      return { kernel: look.kernel.release, hostname: readNames(look)?.hostname };
    case "tasks": {
      const listing = listProcesses(look);
      const users = tryRead(() => readUsers(look, filesOf(look)));
      return { ...listing, users: users && [...users] };
    }
    case "maps": {
      const process = processOf(look, pid);
      return process.mm === 0 ? { rows: [], gaps: [] } : listMemoryAreas(look, process.mm, rootOf(look, process.at));
    }
    case "files": {
      const process = processOf(look, pid);
      return listOpenFiles(look, process.at, rootOf(look, process.at));
    }
    case "ls": {
      const files = filesOf(look);
      const users = tryRead(() => readUsers(look, files));
      return { ...files.list(files.find(path ?? "/")), users: users && [...users] };
    }
    case "dmesg":
      return readKernelLog(look);
    case "stack":
      return stacksOf(view, look, processOf(look, pid), pid ?? 0, debug);
    case "mounts": {
      const init = findInit(look);
      if (!init) throw new VivError("guest.no-init", "the guest has no first process yet: it still boots");
      return listMounts(look, init.at);
    }
    case "net":
      return { devices: listNetworkDevices(look), sockets: listSockets(look, listProcesses(look).rows) };
    case "cat":
      throw new VivError("guest.no-rows", "the content of a file is no list");
  }
}

export type FileHole = { readonly offset: number; readonly length: number; readonly why: Missing };

/** A file's bytes, part by part; what is missing is told, and left out. Throws VivError. */
export function* readGuestFile(view: GuestView, path: string, onHole: (hole: FileHole) => void): Generator<Uint8Array> {
  const look = view.look();
  const { inode } = filesOf(look).find(path);
  if (inode.type !== "file") throw new VivError("guest.no-file", `${path} is no file but a ${inode.type}`);
  for (const part of readFileParts(look, inode.at)) {
    if (part.bytes) yield part.bytes;
    else onHole({ offset: part.offset, length: part.length, why: part.missing });
  }
}

/** Of a process all threads, of a thread itself. */
function stacksOf(view: GuestView, look: Look, process: Process, pid: number, debug?: DebugFiles): TaskStack[] {
  const kernel = new KernelCode(view.kernel());
  const code = ProcessCode.of(look, new CodeFiles(debug), process.at, process.mm);
  const threads = process.pid === pid ? process.threads : process.threads.filter(({ tid }) => tid === pid);
  return threads.map((task) => stackOf(look, kernel, code, task));
}

function stackOf(look: Look, kernel: KernelCode, code: ProcessCode, task: Task): TaskStack {
  const { tid, comm, state } = task;
  // Its stack changes while it is read.
  if (state === "R") return { tid, comm, state, frames: [], truncated: "it runs, or is about to" };
  const chain = tryRead(() => waitingChain(look, kernel, code, task));
  if (!chain) return { tid, comm, state, frames: [], truncated: "it has ended, or runs now" };
  const frames = chain.ips.map((address, i): StackFrame => {
    const place = chain.places[i]!;
    if (i < chain.kernel) {
      const symbol = kernel.kernel.symbols.find(gva(place));
      const from = symbol?.module ?? "kernel";
      return { address, from, kernel: true, ...(symbol && { name: symbol.name, offset: address - symbol.start }) };
    }
    const mapped = code.at(place);
    const symbol = mapped?.file.symbols?.find(place - mapped.bias);
    const named = symbol && mapped && { name: decodeText(symbol.name), offset: address - mapped.bias - symbol.start };
    return { address, from: mapped?.file.name ?? "?", kernel: false, ...named };
  });
  return { tid, comm, state, frames, ...(chain.truncated && { truncated: WHY[chain.truncated] }) };
}

const WHY = {
  depth: "it is deeper than is shown",
  unreadable: "a word of the stack is not in memory",
  "unknown-code": "nothing says where this code's caller is",
  "no-progress": "it leads back into itself",
} as const;
