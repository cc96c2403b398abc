/** A guest whose memory accesses and instructions can be counted on paper: a loop that stores, loads, calls and returns. */
import { type Cpu, type CpuOptions, type CpuPorts, memoryPages } from "../../src/cpu/index.ts";
import { Assembler } from "../lockstep/assembler.ts";
import { noDevices } from "../no-devices.ts";

const RAM = 2 << 20;
const PAGE_TABLES = 0x4000;
const CODE = 0x1_0000;
const DATA = 0x2_0000;
const STACK = 0x3_0000;
const LARGE = 0x83;
const PRESENT = 3;

export const PASSES = 2000;
/** Of one pass: MOV to memory, ADD from memory, CALL, PUSH, POP, RET. */
export const ACCESSES = 6;
/** Of one pass, and of all that is around the passes. */
export const INSTRUCTIONS = { pass: 9, around: 6 };

export type Mode = "flat32" | "long64";

const program = (wide: boolean): Uint8Array =>
  new Assembler(CODE, wide)
    .db(0xb9, PASSES & 0xff, PASSES >> 8, 0, 0) // MOV ECX
    .db(0xbf, 0, 0, DATA >> 16, 0) // MOV EDI
    .label("pass")
    .db(0x89, 0x07) // MOV [EDI], EAX
    .db(0x03, 0x07) // ADD EAX, [EDI]
    .call("function")
    .again("pass") // DEC ECX; JNZ
    .db(0x0f, 0x31) // RDTSC
    .db(0xe6, 0x80) // OUT 80h, AL
    .jmp("end")
    .label("function")
    .db(0x50, 0x58) // PUSH; POP
    .db(0x01, 0xc0) // ADD EAX, EAX
    .db(0xc3)
    .label("end")
    .hlt()
    .code();

/** A vCPU, as `make` makes it, with the program in front of it. */
export function prepare<C extends Cpu>(
  make: (options: CpuOptions) => C,
  mode: Mode,
  ports: Partial<CpuPorts> = {},
): { readonly cpu: C; readonly memory: WebAssembly.Memory } {
  const pages = memoryPages(RAM);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const cpu = make({ memory, ramSize: RAM, model: "x86-64-v2", id: 0, ports: { ...noDevices(), ...ports } });
  const wide = mode === "long64";
  const view = new DataView(cpu.ram.buffer, cpu.ram.byteOffset, RAM);
  // One large page at address 0.
  view.setUint32(PAGE_TABLES, PAGE_TABLES + 0x1000 + PRESENT, true);
  view.setUint32(PAGE_TABLES + 0x1000, PAGE_TABLES + 0x2000 + PRESENT, true);
  view.setUint32(PAGE_TABLES + 0x2000, LARGE, true);
  cpu.ram.set(program(wide), CODE);
  cpu.start({
    mode,
    rip: CODE,
    rsp: STACK,
    registers: {},
    gdt: { base: 0, limit: 0 },
    selectors: {},
    pageTables: PAGE_TABLES,
  });
  return { cpu, memory };
}

/** Runs it to its HLT. */
export function finish(cpu: Cpu, budget = 1000): void {
  for (let i = 0; i < 100_000; i++) {
    const outcome = cpu.run(budget);
    if (outcome === "halted") return;
    if (outcome === "shutdown") break;
  }
  throw new Error(`the program does not end; it is at 0x${cpu.r.getBig("rip").toString(16)}`);
}
