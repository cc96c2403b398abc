/**
 * Memory over the guest's own, under a mixed load: what the process holds (VmRSS, VmHWM: proc(5)) less the pages of guest RAM that are
 * there. Guest RAM is found in the process's mappings by the size of the one WebAssembly memory it lies in.
 */
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { MiB } from "#dist/base/index.js";
import { memoryPages } from "#dist/cpu/index.js";
import { RAM_BASE } from "#dist/cpu/memory-map.js";
import { commandOf, GUEST_MEMORY_MIB, MACHINES, type MachineContender, type Subject } from "./contenders.ts";
import { watch } from "./process.ts";

/** All in MiB. */
export interface MemorySample {
  readonly seconds: number;
  /** What the process holds, and the most it ever held. */
  readonly resident: number;
  readonly peak: number;
  /** Guest RAM that is really there. */
  readonly guest: number;
  /** The engine's part of the same WebAssembly memory that is there: TLBs, decoded code. */
  readonly engine: number;
}

export interface MemoryUse {
  readonly samples: readonly MemorySample[];
  /** The most it held over the guest's RAM at any one time, and what it held at the end. */
  readonly mostOver: number;
  readonly lastOver: number;
  /** What was added to it in the second half of the time. */
  readonly growth: number;
  /** Times the whole load was run. */
  readonly rounds: number;
}

export interface MemoryPlan {
  readonly minutes: number;
  readonly sets: readonly string[];
  readonly percent: number;
  readonly contenders: readonly string[];
  progress(text: string): void;
}

const SAMPLE_MS = 2000;
const SILENCE_MS = 300_000;
const PAGE = 4096;
const WASM_PAGE = 65536;

export async function measureMemory(
  subject: Subject,
  plan: MemoryPlan,
): Promise<Partial<Record<MachineContender, MemoryUse>>> {
  const uses: Partial<Record<MachineContender, MemoryUse>> = {};
  for (const contender of MACHINES.filter((c) => plan.contenders.includes(c))) {
    plan.progress(`memory under ${plan.minutes} minutes of load: ${contender}`);
    uses[contender] = await memoryUnderLoad(contender, subject, plan);
  }
  return uses;
}

async function memoryUnderLoad(contender: MachineContender, subject: Subject, plan: MemoryPlan): Promise<MemoryUse> {
  const samples: MemorySample[] = [];
  let rounds = 0;
  let first: string | undefined;
  let began = 0;
  let sampler: NodeJS.Timeout | undefined;
  const sample = (pid: number): void => {
    samples.push({ seconds: (performance.now() - began) / 1000, ...memoryOf(contender, pid) });
  };
  try {
    await watch({
      what: contender,
      command: commandOf(contender, subject, [`${plan.percent}`, "1", "1", `${plan.minutes * 60}`, ...plan.sets]),
      silenceMs: SILENCE_MS,
      onLine: ({ text, pid }) => {
        // The load begins with the first item; what the boot took counts too, as it stays.
        if (text.startsWith("begin ") && first === undefined) {
          began = performance.now();
          sampler = setInterval(() => sample(pid), SAMPLE_MS);
        }
        if (text.startsWith("begin ")) {
          first ??= text;
          if (text === first) rounds++;
        }
        if (text.startsWith("fail ")) throw new Error(`${contender} cannot: ${text}`);
        if (text !== "done") return false;
        sample(pid);
        return true;
      },
    });
  } finally {
    clearInterval(sampler);
  }
  const over = samples.map(({ resident, guest }) => resident - guest);
  const half = samples.findIndex(({ seconds }) => seconds >= samples.at(-1)!.seconds / 2);
  // The process's own record of its peak may stand for a moment between two samples.
  const last = samples.at(-1)!;
  return {
    samples,
    mostOver: Math.max(...over, last.peak - Math.max(...samples.map(({ guest }) => guest))),
    lastOver: over.at(-1)!,
    growth: over.at(-1)! - over[half]!,
    rounds,
  };
}

function memoryOf(contender: MachineContender, pid: number): Omit<MemorySample, "seconds"> {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const kib = (name: string): number => Number(new RegExp(`^${name}:\\s*(\\d+) kB$`, "m").exec(status)![1]);
  const ram = GUEST_MEMORY_MIB * MiB;
  const [size, base] = contender === "vivarium" ? [memoryPages(ram) * WASM_PAGE, RAM_BASE] : [ram, 0];
  const toMiB = (pages: number): number => (pages * PAGE) / MiB;
  return {
    resident: kib("VmRSS") / 1024,
    peak: kib("VmHWM") / 1024,
    guest: toMiB(residentPages(pid, size, base, ram)),
    engine: toMiB(residentPages(pid, size, 0, base)),
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
