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
import { readFileParts } from "../../guest/page-cache.ts";
import { listSockets } from "../../guest/sockets.ts";
import { findInit, findProcess, listProcesses, type Process, type Task } from "../../guest/tasks.ts";
import { decodeText } from "../../guest/text.ts";
import { readUsers } from "../../guest/users.ts";
import { readNames } from "../../guest/uts.ts";
import { CodeFiles, type DebugFiles } from "./code-files.ts";
import type { GuestView } from "./guest-view.ts";
import type { FileHole, Inspection, Inspections, StackFrame, TaskStack, UserNames } from "./inspections.ts";
import type { InspectOrder } from "./orders.ts";
import { KernelCode, ProcessCode, waitingChain } from "./stacks.ts";

const noSuchTask = (pid: number): VivError =>
  new VivError("guest.no-such-task", `the guest has no process ${pid}: viv inspect NAME tasks lists them`);

function processOf(look: Look, pid: number): Process {
  const found = findProcess(look, pid);
  if (!found) throw noSuchTask(pid);
  return found;
}

function initOf(look: Look): Process {
  const init = findInit(look);
  if (!init) throw new VivError("guest.no-init", "the guest has no first process yet: it still boots");
  return init;
}

const filesOf = (look: Look): FileTree => new FileTree(look, initOf(look).at);

/** A kind of inspection: what it gives of this guest, now. */
type Reader<What extends Inspection> = (inside: {
  readonly view: GuestView;
  readonly look: Look;
  readonly pid: number;
  readonly path: string;
  readonly debug: DebugFiles | undefined;
}) => Inspections[What];

const READERS: { readonly [What in Inspection]: Reader<What> } = {
  names: ({ look }) => ({ kernel: look.kernel.release, hostname: readNames(look)?.hostname }),
  tasks: ({ look }) => ({ ...listProcesses(look), users: usersOf(look, () => filesOf(look)) }),
  modules: ({ view }) => view.kernel().modules.map(({ symbols: _symbols, text: _text, ...module }) => module),
  maps: ({ look, pid }) => {
    const process = processOf(look, pid);
    return process.mm === 0 ? { rows: [], gaps: [] } : listMemoryAreas(look, process.mm, rootOf(look, process.at));
  },
  files: ({ look, pid }) => {
    const process = processOf(look, pid);
    return listOpenFiles(look, process.at, rootOf(look, process.at));
  },
  ls: ({ look, path }) => {
    const files = filesOf(look);
    return { ...files.list(files.find(path)), users: usersOf(look, () => files) };
  },
  dmesg: ({ look }) => readKernelLog(look),
  stack: ({ view, look, pid, debug }) => stacksOf(view, look, processOf(look, pid), pid, debug),
  mounts: ({ look }) => listMounts(look, initOf(look).at),
  net: ({ look }) => ({ devices: listNetworkDevices(look), sockets: listSockets(look, listProcesses(look).rows) }),
};

function usersOf(look: Look, files: () => FileTree): UserNames["users"] {
  const users = tryRead(() => readUsers(look, files()));
  return users && [...users];
}

/** What the order asks for, fit for JSON. Throws VivError. */
export function inspect<What extends Inspection>(
  view: GuestView,
  { what, pid = 0, path = "/" }: InspectOrder<What>,
  debug?: DebugFiles,
): Inspections[What] {
  return READERS[what]({
    view,
    // Modules are told of kernels without types, too.
    get look() {
      return view.look();
    },
    pid,
    path,
    debug,
  });
}

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
