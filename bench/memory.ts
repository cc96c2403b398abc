/**
 * Memory over the guest's own: the most the process ever held (VmHWM, proc(5)) less the pages of guest RAM that are there.
 * Guest RAM is found in the process's mappings by the size of the one WebAssembly memory it lies in.
 */
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { MiB } from "#dist/base/index.js";
import { memoryPages } from "#dist/cpu/index.js";
import { RAM_BASE } from "#dist/cpu/memory-map.js";
import { commandOf, GUEST_MEMORY_MIB, MACHINES, type MachineContender, type Subject } from "./contenders.ts";
import { watch } from "./process.ts";

export interface MemoryUse {
  /** The most the process held, and what it holds when userspace is up, in MiB. */
  readonly peakMiB: number;
  readonly nowMiB: number;
  /** Guest RAM that is really there. */
  readonly guestMiB: number;
  /** The engine's part of the same WebAssembly memory that is there: TLBs, decoded code. */
  readonly engineMiB: number;
}

const TIMEOUT_MS = 300_000;
const PAGE = 4096;
const WASM_PAGE = 65536;

export async function measureMemory(
  subject: Subject,
  progress: (text: string) => void,
): Promise<Record<MachineContender, MemoryUse>> {
  const uses: Partial<Record<MachineContender, MemoryUse>> = {};
  for (const contender of MACHINES) {
    progress(`memory: ${contender}`);
    await watch({
      what: contender,
      command: commandOf(contender, subject, ["linger"]),
      timeoutMs: TIMEOUT_MS,
      onLine: ({ text, pid }) => {
        if (text !== "up") return false;
        uses[contender] = memoryOf(contender, pid);
        return true;
      },
    });
  }
  return uses as Record<MachineContender, MemoryUse>;
}

function memoryOf(contender: MachineContender, pid: number): MemoryUse {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const kib = (name: string): number => Number(new RegExp(`^${name}:\\s*(\\d+) kB$`, "m").exec(status)![1]);
  const ram = GUEST_MEMORY_MIB * MiB;
  const [size, base] = contender === "vivarium" ? [memoryPages(ram) * WASM_PAGE, RAM_BASE] : [ram, 0];
  const toMiB = (pages: number): number => (pages * PAGE) / MiB;
  return {
    peakMiB: kib("VmHWM") / 1024,
    nowMiB: kib("VmRSS") / 1024,
    guestMiB: toMiB(residentPages(pid, size, base, ram)),
    engineMiB: toMiB(residentPages(pid, size, 0, base)),
  };
}

/** Resident pages of `length` bytes from `offset` on, in the writable mapping of exactly `size` bytes. */
function residentPages(pid: number, size: number, offset: number, length: number): number {
  const mapping = readFileSync(`/proc/${pid}/maps`, "utf8")
    .split("\n")
    .map((line) => /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line))
    .map((match) =>
      match ? { start: Number.parseInt(match[1]!, 16), end: Number.parseInt(match[2]!, 16) } : undefined,
    )
    .find((range) => range !== undefined && range.end - range.start === size);
  if (!mapping) throw new Error(`process ${pid} has no writable mapping of ${size} bytes: guest RAM is not found`);
  // A 64-bit word for each page; its top bit says that the page is there (Documentation/admin-guide/mm/pagemap.rst).
  const words = Buffer.alloc((length / PAGE) * 8);
  const pagemap = openSync(`/proc/${pid}/pagemap`, "r");
  try {
    readSync(pagemap, words, 0, words.length, ((mapping.start + offset) / PAGE) * 8);
  } finally {
    closeSync(pagemap);
  }
  let resident = 0;
  for (let i = 7; i < words.length; i += 8) if ((words[i]! & 0x80) !== 0) resident++;
  return resident;
}
