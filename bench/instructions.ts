/**
 * Counts the instructions the guest retires in each kernel: a machine in this very process, whose vCPU can be asked.
 * Run as a process of its own; takes kernel, initrd, command line, RAM size and CPU model, and prints one JSON line.
 */
import { readFileSync } from "node:fs";
import { Cpu, type CpuModel } from "#dist/cpu/index.js";
import { PHYSICAL_BITS } from "#dist/cpu/runtime/paging.js";
import { createGuestMemory, guestRam } from "#dist/sys/node/guest-memory.js";
import { hostClock, hostEntropy } from "#dist/sys/node/host-clock.js";
import { HostLink, MachineLink } from "#dist/vmm/link.js";
import { Machine } from "#dist/vmm/machine.js";

export interface InstructionCounts {
  /** Retired by each kernel, as measured between its two lines: exact to a slice of the run loop. */
  readonly kernels: Readonly<Record<string, number>>;
  /** From the boot to the first line. */
  readonly boot: number;
}

const [kernel, initrd, commandLine, memory, model] = process.argv.slice(2) as string[] & { readonly length: 5 };
const ramSize = Number(memory);
const shared = createGuestMemory(ramSize);
const host = new HostLink();
const decoder = new TextDecoder();
const kernels: Record<string, number> = {};
let boot = 0;
let began = 0;
let rest = "";

const cpus: Cpu[] = [];
const machine = new Machine({
  boot: { kernel: kernel!, initrd: initrd!, commandLine: commandLine!, onReset: "exit" },
  readFile: (name) => readFileSync(name),
  clock: hostClock,
  entropy: hostEntropy,
  link: new MachineLink(host.buffer, () => hear()),
  physicalAddressBits: PHYSICAL_BITS,
  ram: guestRam(shared, ramSize),
  createVcpu: (ports) => {
    const cpu = new Cpu({ memory: shared, ramSize, model: model as CpuModel, ports, id: 0 });
    cpus.push(cpu);
    return cpu;
  },
});

/** Called in this thread, at the end of the slice in which the guest printed. */
function hear(): void {
  host.answerDoorbell();
  const ring = host.serial[0]!.fromGuest;
  const bytes = ring.peek(ring.available);
  ring.consume(bytes.length);
  const { instructions } = cpus[0]!;
  const lines = (rest + decoder.decode(Uint8Array.from(bytes))).split(/\r*\n/);
  rest = lines.pop()!;
  for (const line of lines) {
    const [what, , path] = line.split(" ");
    if (what === "begin") {
      boot ||= instructions;
      began = instructions;
    }
    if (what === "end") kernels[path!.split("/")[1]!] ??= instructions - began;
  }
}

machine.boot();
machine.run();
const counts: InstructionCounts = { kernels, boot };
process.stdout.write(`${JSON.stringify(counts)}\n`);
