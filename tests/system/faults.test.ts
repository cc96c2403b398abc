/** Exceptions of accesses and fetches: alignment, segment ends, stack faults, devices across pages, and faults while faulting. */
import { describe, expect, it } from "vitest";
import { type Bytes, CODE, DATA, Guest, type GuestOptions, imm, STACK } from "./guest.ts";

const HLT = 0xf4;
const NOP = 0x90;
const AC = 0x4_0000;
const CR0_AM = 0x4_0000;
const OUT = CODE + 0x400;

/** A guest whose first trap ends at a HLT. */
function leaving(options: GuestOptions = {}): Guest {
  const g = new Guest(options);
  g.load(OUT, [HLT]);
  g.onTrap = () => {
    g.set("rip", OUT);
  };
  return g;
}

describe("alignment checks", () => {
  const user = (prepare: (g: Guest) => void, ...code: Bytes): string[] => {
    const g = leaving({ cpl: 3 });
    g.set("cr0", g.get("cr0") | CR0_AM);
    g.set("rdi", DATA);
    prepare(g);
    g.addFlags(AC);
    return g.run(code);
  };
  const nothing = () => undefined;
  // At CPL 3 the HLT at the end is #GP.
  const none = (at: number) => [`13(0)@${at}`];

  it("find accesses that are not aligned to their size, at CPL 3", () => {
    // mov eax,[rdi+4]; mov eax,[rdi+2]
    expect(user(nothing, 0x8b, 0x47, 4, 0x8b, 0x47, 2)).toEqual(["17(0)@3"]);
    // mov [rdi],rax; mov [rdi+4],rax
    expect(user(nothing, 0x48, 0x89, 0x07, 0x48, 0x89, 0x47, 4)).toEqual(["17(0)@3"]);
    // mov al,[rdi+1]; mov ax,[rdi+2]; inc word [rdi+1]
    expect(user(nothing, 0x8a, 0x47, 1, 0x66, 0x8b, 0x47, 2, 0x66, 0xff, 0x47, 1)).toEqual(["17(0)@7"]);
    // mov rsp,STACK-1; push rax
    expect(user((g) => g.set("rsp", STACK - 1), 0x50)).toEqual(["17(0)@0"]);
    // fninit; fld tbyte [rdi+8]; fld tbyte [rdi+2]
    expect(user(nothing, 0xdb, 0xe3, 0xdb, 0x6f, 8, 0xdb, 0x6f, 2)).toEqual(["17(0)@5"]);
  });
  it("are off without CR0.AM, without EFLAGS.AC, and at CPL 0", () => {
    expect(user((g) => g.set("cr0", g.get("cr0") & ~CR0_AM), 0x8b, 0x47, 2)).toEqual(none(3));
    // pushf; and dword [rsp],~AC; popf; mov eax,[rdi+2]
    expect(user(nothing, 0x9c, 0x81, 0x24, 0x24, imm(~AC), 0x9d, 0x8b, 0x47, 2)).toEqual(none(12));
    const g = leaving();
    g.set("cr0", g.get("cr0") | CR0_AM);
    g.set("rdi", DATA);
    g.addFlags(AC);
    expect(g.run(0x8b, 0x47, 2)).toEqual([]);
  });
  it("begin with the POPF that sets AC", () => {
    const g = leaving({ cpl: 3 });
    g.set("cr0", g.get("cr0") | CR0_AM);
    g.set("rdi", DATA);
    // mov eax,[rdi+2]; pushf; or dword [rsp],AC; popf; mov eax,[rdi+2]
    expect(g.run(0x8b, 0x47, 2, 0x9c, 0x81, 0x0c, 0x24, imm(AC), 0x9d, 0x8b, 0x47, 2)).toEqual(["17(0)@12"]);
  });
});

describe("the end of the code segment", () => {
  const limited = (last: number, ...code: Bytes) => {
    const g = leaving({ mode: "flat32" });
    const cs = g.cpu.getSegment(1);
    g.cpu.setSegment(1, { ...cs, limit: CODE + last });
    g.cpu.updateMode();
    return g.run(code);
  };
  it("lets the last whole instruction run", () => {
    expect(limited(2, NOP, NOP, NOP, NOP)).toEqual(["13(0)@3"]);
    // A mov of five bytes with its last byte outside.
    expect(limited(4, NOP, 0xb8, imm(1))).toEqual(["13(0)@1"]);
    expect(limited(5, NOP, 0xb8, imm(1), NOP)).toEqual(["13(0)@6"]);
  });
  it("stops a loop that was running well inside", () => {
    // loop: dec ecx; jnz loop, then on to the end
    expect(limited(4, 0xb1, 3, 0x49, 0x75, 0xfd, NOP)).toEqual(["13(0)@5"]);
  });
});

describe("addresses that are not canonical", () => {
  const HOLE = 0x9000_0000_0000n;
  const at = (name: string, ...code: Bytes) => {
    const g = leaving();
    g.set(name, HOLE);
    // The handler's stack cannot be the one at fault.
    for (const vector of [12, 13]) g.view.setUint16(0x2000 + vector * 16 + 4, 0xee01, true);
    g.view.setUint32(0x3000 + 36, 0x5_0000, true);
    return g.run(code);
  };
  it("are #SS through rSP and rBP, else #GP", () => {
    const outcomes = [
      at("rbx", 0x8b, 0x03),
      at("rsi", 0xac),
      at("rbp", 0x8b, 0x45, 0),
      at("rsp", 0x8b, 0x04, 0x24),
      at("rsp", 0x58),
      at("rsp", 0xc3),
      at("rbp", 0xc9),
      at("rsp", 0x66, 0x50),
      at("rsp", 0x9d),
      at("rsp", 0xca, 0, 0),
      at("rsp", 0x48, 0xcf),
    ];
    const gp = ["13(0)@0"];
    const ss = ["12(0)@0"];
    expect(outcomes.map(String)).toEqual([gp, gp, ...Array.from({ length: 9 }, () => ss)].map(String));
  });
});

describe("device memory across pages", () => {
  const device = () => {
    const g = new Guest();
    // Two pages of a device, then memory.
    g.mapPage(DATA, 0xd000_0007n);
    g.mapPage(DATA + 0x1000, 0xd001_0007n);
    g.set("rdi", DATA + 0xffe);
    return g;
  };
  it("is read and written on both sides", () => {
    const g = device();
    // mov eax,[rdi]; mov [rdi],ebx
    g.set("rbx", 0x8765_4321);
    g.run(0x8b, 0x07, 0x89, 0x1f);
    expect(g.log).toEqual(["read d0000ffe 2", "read d0010000 2", "write d0000ffe 2 4321", "write d0010000 2 8765"]);
  });
  it("is changed by a read-modify-write", () => {
    const g = device();
    g.run(0x81, 0x37, imm(0xffff_ffffn));
    expect(g.log.slice(2)).toEqual(["write d0000ffe 2 ddee", "write d0010000 2 ddee"]);
  });
  it("may begin in RAM", () => {
    const g = new Guest();
    g.mapPage(DATA + 0x1000, 0xd001_0007n);
    g.set("rdi", DATA + 0xffe);
    g.set("rbx", 0x8765_4321);
    g.run(0x89, 0x1f);
    expect(g.log).toEqual(["write d0010000 2 8765"]);
    expect(g.view.getUint16(DATA + 0xffe, true)).toBe(0x4321);
  });
});

describe("faults while faulting", () => {
  const IDT = 0x2000;
  const GATE = 16;
  /** Takes the gate of a vector away. */
  const without = (g: Guest, ...vectors: number[]) => {
    for (const vector of vectors) g.view.setUint32(IDT + vector * GATE + 4, 0, true);
  };
  const UD2 = [0x0f, 0x0b];
  const unmapped = [0x8b, 0x04, 0x25, imm(0x7f_0000)];

  it("a benign exception whose handler faults gives that fault", () => {
    const g = leaving();
    without(g, 6);
    // #GP of the gate's type: the entry of vector 6, and EXT.
    expect(g.run(UD2)).toEqual([`13(${6 * 8 + 3})@0`]);
  });
  it("contributory after contributory is #DF, and so is one after a page fault", () => {
    // mov eax,0fff8h; mov ds,eax: beyond the GDT
    const first = leaving();
    without(first, 13);
    expect(first.run(0xb8, imm(0xfff8), 0x8e, 0xd8)).toEqual(["8(0)@5"]);
    const g = leaving();
    without(g, 14);
    expect(g.run(unmapped)).toEqual(["8(0)@0"]);
    expect(g.cpu.r.getBig("cr2")).toBe(0x7f_0000n);
  });
  it("a fault of the #DF handler shuts down", () => {
    const g = leaving();
    without(g, 8, 14);
    expect(g.run(unmapped)).toEqual(["shutdown"]);
  });
  it("a page fault after a contributory exception is a page fault", () => {
    // The gate of #GP names a stack that is not mapped (IST 2).
    const g = leaving();
    g.view.setUint16(IDT + 13 * GATE + 4, 0xee02, true);
    g.view.setUint32(0x3000 + 44, 0x7f_0000, true);
    // mov ds,[a selector beyond the GDT]
    expect(g.run(0xb8, imm(0xfff8), 0x8e, 0xd8)).toEqual(["14(2)@5"]);
  });
});
