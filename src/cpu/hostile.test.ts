/** Guests that mean ill, found by the fuzzer (tests/fuzz) and cut down. */

import { describe, expect, it } from "vitest";
import { noDevices } from "../../tests/no-devices.ts";
import { Cpu, type CpuEntry, type CpuOptions, memoryPages } from "./index.ts";

const RAM = 0x20_0000;
const GDT = 0x1000;
const IDT = 0x2000;
const PML4 = 0x4000;
const PDPT = 0x5000;
const PD = 0x6000;
const PT = 0x7000;
const CODE = 0x8000;
const HANDLER = 0x9000;
const OTHER = 0xa000;
const STACK = 0x1_0000;
const HLT = 0xf4;

/** A CPU about to run `code`; every exception goes to HANDLER, which is `handler`. */
function guest(
  mode: CpuEntry["mode"],
  code: readonly number[],
  handler: readonly number[] = [HLT],
  jit: CpuOptions["jit"] = false,
): Cpu {
  const pages = memoryPages(RAM);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const cpu = new Cpu({ memory, ramSize: RAM, model: "x86-64", ports: noDevices(), id: 0, jit });
  const view = new DataView(cpu.ram.buffer, cpu.ram.byteOffset, cpu.ram.byteLength);
  const long = mode === "long64";
  view.setBigUint64(GDT + 8, long ? 0x00af_9b00_0000_ffffn : 0x00cf_9b00_0000_ffffn, true);
  view.setBigUint64(GDT + 16, 0x00cf_9300_0000_ffffn, true);
  for (let vector = 0; vector < 32; vector++) {
    const at = IDT + vector * (long ? 16 : 8);
    view.setUint32(at, 0x0008_0000 | HANDLER, true);
    view.setUint32(at + 4, 0x8e00, true);
  }
  view.setUint32(PML4, PDPT | 3, true);
  view.setUint32(PDPT, PD | 3, true);
  view.setUint32(PD, PT | 3, true);
  for (let page = 0; page < 512; page++) view.setUint32(PT + 8 * page, (page << 12) | 3, true);
  cpu.ram.set(code, CODE);
  cpu.ram.set(handler, HANDLER);
  const selectors = { cs: 8, ds: 16, es: 16, ss: 16 };
  cpu.start({
    mode,
    rip: CODE,
    rsp: STACK,
    registers: {},
    gdt: { base: GDT, limit: 0x17 },
    selectors,
    pageTables: PML4,
  });
  cpu.r.setNumber("idtr.base", IDT);
  cpu.r.set("idtr.limit", 0x1ff);
  return cpu;
}

describe("a hostile guest", () => {
  it.each(["flat32", "long64"] as const)("whose handler is undefined code leaves the host its time (%s)", (mode) => {
    const cpu = guest(mode, [0x0f, 0x0b], [0x0f, 0x0b]);
    expect(cpu.run(100)).toBe("running");
    expect(cpu.instructions).toBe(0);
    // 64-bit mode aligns each frame to 16 bytes.
    expect(STACK - cpu.r.getNumber("rsp")).toBe(mode === "long64" ? 40 + 99 * 48 : 100 * 12);
  });

  it("whose tasks trap into each other for ever comes to an end", () => {
    const cpu = guest("flat32", [0xf1]); // icebp
    const view = new DataView(cpu.ram.buffer, cpu.ram.byteOffset, cpu.ram.byteLength);
    // Two TSSs with the T flag around their own descriptors: EAX and ECX, when saved, make them available again.
    const task = (selector: number) => {
      const at = GDT + selector;
      const base = at - 0x28;
      view.setUint32(base + 0x64, 1, true);
      view.setUint32(at, ((base << 16) | 0x67) >>> 0, true);
      view.setUint32(at + 4, 0x8900, true);
      view.setUint32(base + 0x24, 2, true);
      for (const [i, chosen] of [16, 8, 16, 16, 0, 0].entries()) view.setUint32(base + 0x48 + 4 * i, chosen, true);
    };
    task(0x100);
    task(0x200);
    cpu.r.set("gdtr.limit", 0x3ff);
    const gate = (vector: number, selector: number) => {
      view.setUint32(IDT + 8 * vector, selector << 16, true);
      view.setUint32(IDT + 8 * vector + 4, 0x8500, true);
    };
    gate(1, 0x100);
    gate(13, 0x200);
    // The first task, that is left at the start.
    view.setUint32(GDT + 0x300, 0xc000_0067, true);
    view.setUint32(GDT + 0x304, 0x8b00, true);
    cpu.setSegment(7, { selector: 0x300, attributes: 0x8b, limit: 0x67, base: 0xc000n });
    expect(cpu.run(100)).toBe("shutdown");
  });

  it("retires nothing with a branch beyond the segment's limit", () => {
    const cpu = guest("flat32", [0x0f, 0x84, 0, 0, 0x10, 0]); // jz far away
    cpu.setEflags(0x42);
    const cs = cpu.getSegment(1);
    cpu.setSegment(1, { ...cs, limit: 0xf_ffff });
    cpu.updateMode();
    expect(cpu.run(100)).toBe("halted");
    expect(cpu.r.getNumber("rip")).toBe(HANDLER + 1);
    expect(cpu.instructions).toBe(1);
  });

  it("shows its handler the flags from before a segment load that faults", () => {
    // xor eax, eax; mov eax, 80h; mov gs, ax; add eax, 1: the last would replace the flags.
    const cpu = guest("flat32", [0x31, 0xc0, 0xb8, 0x80, 0, 0, 0, 0x8e, 0xe8, 0x05, 1, 0, 0, 0, HLT]);
    cpu.setEflags(0x8d3);
    expect(cpu.run(100)).toBe("halted");
    // ZF and PF, in the handler's frame; SF, AF, CF and OF gone.
    expect(cpu.ram[STACK - 4]! & 0xd5).toBe(0x44);
  });

  it("finds no instruction across the end of its segment", () => {
    const last = CODE + 0xfff;
    const cpu = guest("flat32", []);
    cpu.ram.set([0x66, HLT], last); // two bytes, the second one on the next page
    cpu.r.setNumber("rip", last);
    cpu.setSegment(1, { ...cpu.getSegment(1), limit: last });
    cpu.updateMode();
    expect(cpu.run(100)).toBe("halted");
    expect(cpu.instructions).toBe(1);
    // EIP below the error code on the handler's stack.
    expect(cpu.ram.slice(STACK - 12, STACK - 8)).toEqual(Uint8Array.of(last & 0xff, last >> 8, 0, 0));
  });

  it("finds the end of its segment in a page that it ran under another segment before", () => {
    const cpu = guest("flat32", [HLT]);
    cpu.ram.fill(0x90, CODE + 1, CODE + 16);
    expect(cpu.run(100)).toBe("halted");
    cpu.r.set("activity", 0);
    // The same limit, another base: the segment now ends within the page.
    const cs = cpu.getSegment(1);
    cpu.setSegment(1, { ...cs, limit: 0xffff });
    cpu.updateMode();
    cpu.r.setNumber("rip", CODE);
    expect(cpu.run(100)).toBe("halted");
    cpu.r.set("activity", 0);
    cpu.setSegment(1, { ...cs, base: BigInt(CODE + 8 - 0x1_0000), limit: 0xffff });
    cpu.updateMode();
    cpu.r.setNumber("rip", 0xfffc);
    expect(cpu.run(100)).toBe("halted");
    expect(cpu.r.getNumber("rip")).toBe(HANDLER + 1);
    expect(cpu.ram.slice(STACK - 12, STACK - 8)).toEqual(Uint8Array.of(0, 0, 1, 0));
  });

  it("does not leave the lower half of the address space by a branch", () => {
    const edge = 0x7fff_ffff_f000;
    const cpu = guest("long64", []);
    const view = new DataView(cpu.ram.buffer, cpu.ram.byteOffset, cpu.ram.byteLength);
    // The last page of the lower half is the code page: jmp +0x1000 from there goes nowhere.
    for (const table of [PML4 + 0xff * 8, PDPT + 0x1ff * 8, PD + 0x1ff * 8]) {
      const next = table < PDPT ? PDPT : table < PD ? PD : PT;
      view.setUint32(table, next | 3, true);
    }
    view.setUint32(PT + 0x1ff * 8, CODE | 3, true);
    cpu.ram.set([0xe9, 0, 0x10, 0, 0], CODE);
    cpu.r.setNumber("rip", edge);
    expect(cpu.run(100)).toBe("halted");
    expect(cpu.instructions).toBe(1);
    // RIP in the handler's frame: SS, RSP, RFLAGS, CS above it, the error code below.
    expect(view.getBigUint64(STACK - 40, true)).toBe(BigInt(edge));
  });

  it("that overwrites its repeated instruction across two pages runs what it wrote", () => {
    const last = CODE + 0xfff;
    const cpu = guest("long64", []);
    cpu.ram.set([0xf3, 0xaa, HLT], last); // rep stosb; hlt
    cpu.r.setNumber("rip", last);
    cpu.r.setNumber("rdi", last - 3);
    cpu.r.setNumber("rcx", 16);
    cpu.r.setNumber("rax", 0x90);
    expect(cpu.run(100)).toBe("halted");
    // Four elements by REP; where its prefix was there is NOP now, and STOSB goes on alone.
    expect(cpu.r.getNumber("rcx")).toBe(12);
    expect(cpu.r.getNumber("rdi")).toBe(last + 2);
  });

  it("that maps another page under its running code and tells by INVLPG runs the other page", () => {
    // mov dword [PTE of this page], OTHER | 3; invlpg [this page]; mov al, 1; hlt
    const entry = PT + (CODE >> 12) * 8;
    const code = [0xc7, 0x04, 0x25, entry & 0xff, entry >> 8, 0, 0, 3, OTHER >> 8, 0, 0];
    const invlpg = [0x0f, 0x01, 0x3c, 0x25, 0, CODE >> 8, 0, 0];
    const cpu = guest("long64", [...code, ...invlpg, 0xb0, 1, HLT]);
    cpu.ram.set([0xb0, 2, HLT], OTHER + code.length + invlpg.length);
    expect(cpu.run(100)).toBe("halted");
    expect(cpu.r.getNumber("rax")).toBe(2);
  });
});
