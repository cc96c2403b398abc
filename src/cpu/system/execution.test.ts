/** Small guests on the whole CPU: instructions reach the operations, and go on where those say. */

import { describe, expect, it } from "vitest";
import { noDevices } from "../../../tests/no-devices.ts";
import { Cpu, memoryPages } from "../index.ts";
import { CS, DS, SS_SEGMENT } from "./access.ts";

const MiB = 0x10_0000;
const GDT = 0x1000;
const IDT = 0x2000;
const TSS = 0x3000;
const CODE0 = 0x08;
const DATA0 = 0x10;
const CODE3 = 0x18;
const DATA3 = 0x20;
const TASK = 0x28;
const CODE32 = 0x38;
const TASK2 = 0x40;
const MAIN = 0x8000;
const USER = 0x9000;
const HANDLER = 0xa000;
const STACK0 = 0x1_0000;
const STACK3 = 0x2_0000;
const HLT = 0xf4;

class Guest {
  readonly cpu: Cpu;
  readonly view: DataView;
  constructor(mode: "real16" | "flat32" | "long64") {
    const memory = new WebAssembly.Memory({
      initial: memoryPages(2 * MiB),
      maximum: memoryPages(2 * MiB),
      shared: true,
    });
    this.cpu = new Cpu({ memory, ramSize: 2 * MiB, model: "x86-64", ports: noDevices(), id: 0 });
    this.view = new DataView(this.cpu.ram.buffer, this.cpu.ram.byteOffset, this.cpu.ram.byteLength);
    const wide = mode === "long64" ? 0xa : 0xc;
    this.describe(CODE0, 0x9a, wide);
    this.describe(DATA0, 0x92, 0xc);
    this.describe(CODE3, 0xfa, wide);
    this.describe(DATA3, 0xf2, 0xc);
    this.describe(TASK, 0x89, 0, TSS, 0x67);
    this.describe(CODE32, 0x9a, 0xc);
    // One page table entry of each level maps the first 2 MiB, for the program too.
    this.words(0x4000, 0x5007, 0);
    this.words(0x5000, 0x6007, 0);
    this.words(0x6000, 0x87, 0);
    this.cpu.start({
      mode,
      rip: MAIN,
      rsp: STACK0 - 0x100,
      registers: {},
      gdt: { base: GDT, limit: 0xff },
      selectors: { cs: CODE0, ds: DATA0, es: DATA0, ss: DATA0, fs: DATA0, gs: DATA0 },
      pageTables: 0x4000,
    });
    if (mode === "real16") {
      for (const n of [CS, DS, SS_SEGMENT])
        this.cpu.setSegment(n, { selector: 0, attributes: 0x93, limit: 0xffff, base: 0n });
      this.cpu.updateMode();
    } else {
      this.cpu.r.setBig("idtr.base", BigInt(IDT));
      this.cpu.r.set("idtr.limit", 0xfff);
    }
  }
  describe(selector: number, access: number, flags: number, base = 0, limit = 0xf_ffff): void {
    const low = ((base << 16) | (limit & 0xffff)) >>> 0;
    const high = (base & 0xff00_0000) | (flags << 20) | (limit & 0xf_0000) | (access << 8) | ((base >>> 16) & 0xff);
    this.words(GDT + selector, low, high);
  }
  gate(vector: number, access: number, selector: number, offset: number, bytes = 8): void {
    this.words(IDT + vector * bytes, (selector << 16) | (offset & 0xffff), (offset & 0xffff_0000) | (access << 8));
  }
  words(at: number, ...values: number[]): void {
    values.forEach((value, i) => {
      this.view.setUint32(at + 4 * i, value, true);
    });
  }
  code(at: number, ...bytes: (number | number[])[]): void {
    this.cpu.ram.set(bytes.flat(), at);
  }
  get(name: string): number {
    return this.cpu.r.getNumber(name);
  }
  /** Runs until HLT at CPL 0. */
  run(): string {
    return this.cpu.run(1000);
  }
}
/** A 32-bit immediate. */
const d = (value: number): number[] => [value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, (value >>> 24) & 0xff];

describe("a guest", () => {
  it("calls far, interrupts itself and returns in real mode", () => {
    const g = new Guest("real16");
    g.code(MAIN, 0x9a, 0x10, 0x00, 0x00, 0x01, HLT); // call far 0100:0010
    g.code(0x1010, 0xcd, 0x20, 0x06, 0x0e, 0x07, 0x07, 0xca, 0x00, 0x00); // int 20h; push es; push cs; pop es; pop es; retf 0
    g.code(0x80, 0x04, 0x00, 0x00, 0x02); // the vector: 0200:0004
    g.code(0x2004, 0xb0, 0x55, 0xcf); // mov al,55h; iret
    expect(g.run()).toBe("halted");
    expect([g.get("rax"), g.get("rip"), g.get("rsp"), g.cpu.r.get("cs.selector")]).toEqual([
      0x55,
      MAIN + 6,
      STACK0 - 0x100,
      0,
    ]);
  });

  it("goes to CPL 3 and comes back by interrupts in protected mode", () => {
    const g = new Guest("flat32");
    g.words(TSS + 4, STACK0, DATA0);
    g.gate(0x30, 0xee, CODE0, HANDLER);
    g.gate(13, 0x8e, CODE0, HANDLER + 0x100);
    // mov eax,28h; ltr ax; push ss3; push esp3; push flags; push cs3; push USER; iret
    const enter = [DATA3 | 3, STACK3, 0x202, CODE3 | 3, USER].flatMap((value) => [0x68, ...d(value)]);
    g.code(MAIN, 0xb8, ...d(TASK), 0x0f, 0x00, 0xd8, ...enter, 0xcf);
    // int 30h; mov ecx,ds; mov ds,[a segment of CPL 0]
    g.code(USER, 0xcd, 0x30, 0x8c, 0xd9, 0xba, ...d(DATA0), 0x8e, 0xda, HLT);
    g.code(HANDLER, 0x8c, 0xd3, 0x8b, 0x6c, 0x24, 0x04, 0xcf); // mov ebx,ss; mov ebp,[esp+4]; iret
    g.code(HANDLER + 0x100, 0x5e, 0x5f, HLT); // pop esi; pop edi
    expect(g.run()).toBe("halted");
    // SS and the saved CS in the handler; DS was closed on the way out; the faulting instruction and its error code.
    expect([g.get("rbx"), g.get("rbp"), g.get("rcx")]).toEqual([DATA0, CODE3 | 3, 0]);
    expect([g.get("rsi"), g.get("rdi")]).toEqual([DATA0, USER + 9]);
  });

  it("switches tasks, and takes a fault of the new task there", () => {
    const g = new Guest("flat32");
    g.gate(10, 0x8e, CODE0, HANDLER);
    g.describe(TASK2, 0x89, 0, TSS + 0x100, 0x67);
    g.words(TSS + 0x120, USER, 2, 1, 2, 3, 4, STACK0, 6, 7, 8, DATA0, CODE0, DATA0, 0x1000);
    // mov eax,28h; ltr ax; jmp far TASK2:0
    g.code(MAIN, 0xb8, ...d(TASK), 0x0f, 0x00, 0xd8, 0xea, ...d(0), TASK2, 0);
    g.code(USER, 0x0f, 0x0b);
    g.code(HANDLER, 0x5e, 0x5f, HLT); // pop esi; pop edi
    expect(g.run()).toBe("halted");
    // The error code names DS; the pushed EIP is the new task's.
    expect([g.get("rsi"), g.get("rdi"), g.cpu.r.get("tr.selector")]).toEqual([0x1000, USER, TASK2]);
    expect(g.view.getUint32(TSS + 0x20, true)).toBe(MAIN + 15);
  });

  it("asks about segments", () => {
    const g = new Guest("flat32");
    // mov eax,20h; lar ebx,ax; lsl ecx,ax; verw ax; setz dl; mov eax,8; verw ax; setnz dh; str si; mov eax,10h; mov edi,20h+3; arpl ax,di
    g.code(
      MAIN,
      [0xb8, ...d(DATA3), 0x0f, 0x02, 0xd8, 0x0f, 0x03, 0xc8, 0x0f, 0x00, 0xe8, 0x0f, 0x94, 0xc2],
      [0xb8, ...d(CODE0), 0x0f, 0x00, 0xe8, 0x0f, 0x95, 0xc6, 0x66, 0x0f, 0x00, 0xce],
      [0xb8, ...d(DATA0), 0xbf, ...d(0x23), 0x63, 0xf8, HLT],
    );
    expect(g.run()).toBe("halted");
    expect([g.get("rbx"), g.get("rcx"), g.get("rdx"), g.get("rax")]).toEqual([
      0xcf_f200,
      0xffff_ffff,
      0x101,
      DATA0 | 3,
    ]);
  });

  it("pushes and loads segment registers", () => {
    const g = new Guest("flat32");
    g.words(0x500, 0x1234_5678, DATA3);
    g.words(STACK0 - 0x104, 0xffff_ffff);
    // push fs; pop gs; push ds; lfs ebx,[500h]; mov es,[504h]; mov eax,es; mov [508h],fs
    g.code(
      MAIN,
      [0x0f, 0xa0, 0x0f, 0xa9, 0x1e, 0x0f, 0xb4, 0x1d, ...d(0x500)],
      [0x8e, 0x05, ...d(0x504), 0x8c, 0xc0, 0x8c, 0x25, ...d(0x508), HLT],
    );
    expect(g.run()).toBe("halted");
    expect([g.get("rbx"), g.get("rax"), g.get("rsp")]).toEqual([0x1234_5678, DATA3, STACK0 - 0x104]);
    // The push wrote two bytes of its four.
    expect(g.view.getUint32(STACK0 - 0x104, true)).toBe(0xffff_0000 + DATA0);
    expect(g.view.getUint32(0x508, true)).toBe(DATA3);
  });

  it("goes to compatibility mode and back, and returns far in 64-bit mode", () => {
    const g = new Guest("long64");
    g.gate(3, 0x8e, CODE0, HANDLER, 16);
    g.words(0x500, 0xb000, CODE32);
    // jmp far [500h]; then, in 32-bit code: inc eax; jmp far CODE0:c000
    g.code(MAIN, 0xff, 0x2c, 0x25, ...d(0x500));
    g.code(0xb000, 0x40, 0xea, ...d(0xc000), CODE0, 0);
    // push 8; push d000h; retfq: int3; then mov ecx,cs; hlt
    g.code(0xc000, 0x6a, CODE0, 0x68, ...d(0xd000), 0x48, 0xcb);
    g.code(0xd000, 0xcc, 0x8c, 0xc9, HLT);
    g.code(HANDLER, 0x8c, 0xd3, 0x48, 0xcf); // mov ebx,ss; iretq
    expect(g.run()).toBe("halted");
    expect([g.get("rax"), g.get("rbx"), g.get("rcx"), g.get("rip"), g.get("rsp")]).toEqual([
      1,
      DATA0,
      CODE0,
      0xd004,
      STACK0 - 0x100,
    ]);
  });

  it("runs a virtual-8086 program and serves its interrupts", () => {
    const g = new Guest("flat32");
    g.words(TSS + 4, STACK0, DATA0);
    g.gate(13, 0x8e, CODE0, HANDLER);
    const enter = [0x600, 0x500, 0x400, 0x300, 0x200, 0x1000, 0x2_0202, 0x900, 0].flatMap((value) => [
      0x68,
      ...d(value),
    ]);
    g.code(MAIN, 0xb8, ...d(TASK), 0x0f, 0x00, 0xd8, ...enter, 0xcf);
    // inc ax; mov bx,ds; cli, which needs IOPL 3
    g.code(USER, 0x40, 0x8c, 0xdb, 0xfa);
    g.code(HANDLER, 0x5e, 0x5f, 0x5d, 0x5a, HLT); // pop esi; pop edi; pop ebp; pop edx
    expect(g.run()).toBe("halted");
    expect([g.get("rax"), g.get("rbx") & 0xffff, g.get("rsi"), g.get("rdi"), g.get("rbp")]).toEqual([
      TASK + 1,
      0x400,
      0,
      3,
      0x900,
    ]);
    expect(g.get("rdx") & 0x3_3202).toBe(0x3_0202);
  });
});
