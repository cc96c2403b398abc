/** What control, debug and model-specific registers take, and what CPUID says of them (SDM vol. 3A, 2.5 and 4.4; vol. 4). */
import { describe, expect, it } from "vitest";
import { type Bytes, CODE, DATA, Guest, type GuestOptions, imm } from "./guest.ts";

const HLT = 0xf4;
const CANONICAL57 = 0xffaa_aaaa_aaaa_aaaan;
const CANONICAL48 = 0xffff_aaaa_aaaa_aaaan;
const NOT_CANONICAL = 0xaaaa_aaaa_aaaa_aaaan;

/** Runs code that should fault; a handler then goes to a HLT. */
function outcome(options: GuestOptions, prepare: (g: Guest) => void, ...code: Bytes): string[] {
  const g = new Guest(options);
  g.load(CODE + 0x400, [HLT]);
  g.onTrap = () => g.view.setUint32(g.frame(0), CODE + 0x400, true);
  prepare(g);
  return g.run(code);
}
const nothing = () => undefined;
/** mov ecx,index; mov eax,low; mov edx,high; wrmsr */
const wrmsr = (index: number, value: bigint): Bytes => [
  [0xb9, imm(index), 0xb8, imm(value & 0xffff_ffffn), 0xba, imm(value >> 32n)],
  [0x0f, 0x30],
];
const rdmsr = (index: number): Bytes => [0xb9, imm(index), 0x0f, 0x32];
const FS_BASE = 0xc000_0100;

describe("base registers", () => {
  const lgdt = (base: bigint) => (g: Guest) => {
    g.view.setUint16(DATA, 0x3f, true);
    g.view.setBigUint64(DATA + 2, base, true);
    g.set("rdi", DATA);
  };
  it("take addresses that are canonical for the processor's width", () => {
    for (const instruction of [0x17, 0x1f]) {
      const run = (model: "max" | "x86-64", base: bigint) => outcome({ model }, lgdt(base), 0x0f, 0x01, instruction);
      expect(run("x86-64", CANONICAL48)).toEqual([]);
      expect(run("x86-64", CANONICAL57)).toEqual(["13(0)@0"]);
      // The IDT is needed no more where nothing faults.
      expect(run("max", CANONICAL57)).toEqual([]);
    }
    const write = (model: "max" | "x86-64", base: bigint) => outcome({ model }, nothing, wrmsr(FS_BASE, base));
    expect([CANONICAL48, CANONICAL57, NOT_CANONICAL].map((base) => write("max", base).length)).toEqual([0, 0, 1]);
    expect([CANONICAL48, CANONICAL57, NOT_CANONICAL].map((base) => write("x86-64", base).length)).toEqual([0, 1, 1]);
  });
});

describe("control registers", () => {
  /** mov rax,value; mov crN,rax */
  const mov = (n: number, value: bigint | number): Bytes => [
    [0x48, 0xb8, imm(value, 8)],
    n === 8 ? [0x44, 0x0f, 0x22, 0xc0] : [0x0f, 0x22, 0xc0 | (n << 3)],
  ];
  const to = (n: number, value: bigint | number, options: GuestOptions = {}, prepare: (g: Guest) => void = nothing) =>
    outcome(options, prepare, mov(n, value));
  const GP = ["13(0)@10"];
  const PG = 0x8000_0000;
  const NW = 0x2000_0000;
  const CD = 0x4000_0000;

  it("CR0 refuses PG without PE, NW without CD, bits above 31, and the end of paging in 64-bit mode", () => {
    expect(to(0, PG + 0x11)).toEqual([]);
    expect(to(0, PG + 0x10)).toEqual(GP);
    expect(to(0, PG + NW + 0x11)).toEqual(GP);
    expect(to(0, PG + NW + CD + 0x11)).toEqual([]);
    expect(to(0, (1n << 32n) | 0x8000_0011n)).toEqual(GP);
    expect(to(0, 0x11)).toEqual(GP);
  });
  it("CR0 keeps ET set and takes no bit that does not exist", () => {
    const g = new Guest();
    g.run(mov(0, PG + 0x1ffc_ffc1));
    expect(g.get("cr0")).toBe(PG + 0x4_0011);
  });
  it("CR4 refuses bits that do not exist, and in long mode changes of PAE and LA57", () => {
    expect(to(4, 0x20)).toEqual([]);
    expect(to(4, 0)).toEqual(GP);
    expect(to(4, 0x1020)).toEqual(GP);
    for (const bit of [0, 1, 13, 14, 15, 19, 22, 23, 24, 31]) expect(to(4, 0x20 + 2 ** bit)).toEqual(GP);
    // OSXSAVE where the model has XSAVE.
    expect(to(4, 0x4_0020)).toEqual([]);
    expect(to(4, 0x4_0020, { model: "x86-64" })).toEqual(GP);
  });
  it("CR4.PCIDE needs CR3 without a PCID; then bit 63 of CR3 may be set", () => {
    expect(to(4, 0x2_0020)).toEqual([]);
    expect(to(4, 0x2_0020, {}, (g) => g.set("cr3", g.get("cr3") | 0x18))).toEqual(GP);
    expect(to(3, (1n << 63n) | 0x4000n)).toEqual(GP);
    expect(to(3, (1n << 63n) | 0x4001n, {}, (g) => g.set("cr4", 0x2_0020))).toEqual([]);
    expect(to(3, 1n << 40n)).toEqual(GP);
  });
  it("CR8 takes four bits; there is no CR1, 5, 6, 7", () => {
    expect(to(8, 15)).toEqual([]);
    expect(to(8, 16)).toEqual(GP);
    for (const n of [1, 5, 6, 7]) expect(to(n, 0)).toEqual(["6@10"]);
  });
  it("EFER refuses reserved bits and a change of LME under paging", () => {
    const efer = (value: bigint) => outcome({}, nothing, wrmsr(0xc000_0080, value));
    expect(efer(0xd01n)).toEqual([]);
    for (const value of [0x400n, 0x502n, 0x1500n, 1n << 32n]) expect(efer(value).length).toBe(1);
    // LMA is not the program's to clear.
    const g = new Guest();
    g.run(wrmsr(0xc000_0080, 0x100n));
    expect(g.get("efer")).toBe(0x500);
  });
  it("DR6 and DR7 refuse bits above 31", () => {
    const dr = (n: number, value: bigint): Bytes => [
      [0x48, 0xb8, imm(value, 8)],
      [0x0f, 0x23, 0xc0 | (n << 3)],
    ];
    for (const n of [6, 7]) {
      expect(outcome({}, nothing, dr(n, 1n << 32n))).toEqual(GP);
      expect(outcome({}, nothing, dr(n, 0n))).toEqual([]);
    }
  });
});

describe("model-specific registers", () => {
  it("that can only be written, or are not there, raise #GP", () => {
    expect(outcome({}, nothing, rdmsr(0x49))).toEqual(["13(0)@5"]);
    expect(outcome({}, nothing, rdmsr(0x10b))).toEqual(["13(0)@5"]);
    expect(outcome({ model: "x86-64" }, nothing, rdmsr(0x3b))).toEqual(["13(0)@5"]);
  });
  it("TSC and TSC_ADJUST move together", () => {
    const g = new Guest();
    // rdtsc; mov ebx,eax
    g.run(wrmsr(0x3b, 500n), 0x0f, 0x31, 0x89, 0xc3, wrmsr(0x10, 4000n), rdmsr(0x3b));
    expect(["rbx", "rax", "rdx"].map((name) => g.get(name))).toEqual([1500, 3000, 0]);
  });
});

describe("CPUID", () => {
  it("shows the local APIC while IA32_APIC_BASE enables it", () => {
    const apic = (apicBase: number) => {
      const g = new Guest({ apicBase });
      g.run(0xb8, imm(1), 0x0f, 0xa2);
      return (g.get("rdx") >>> 9) & 1;
    };
    expect([apic(0xfee0_0900), apic(0xfee0_0100)]).toEqual([1, 0]);
  });
});

describe("PAE paging", () => {
  const TABLE = 0x10_0000;
  /** mov eax,TABLE; mov cr3,eax; mov eax,cr4; or al,20h; mov cr4,eax; mov eax,cr0; bts eax,31; mov cr0,eax */
  const enable: Bytes = [
    [0xb8, imm(TABLE), 0x0f, 0x22, 0xd8, 0x0f, 0x20, 0xe0, 0x0c, 0x20, 0x0f, 0x22, 0xe0],
    [0x0f, 0x20, 0xc0, 0x0f, 0xba, 0xe8, 31, 0x0f, 0x22, 0xc0],
  ];
  const tables = (pdpte: bigint) => (g: Guest) => {
    g.view.setBigUint64(TABLE, pdpte, true);
    // One large page maps the first 2 MiB to themselves.
    g.view.setUint32(TABLE + 0x1000, 0x83, true);
  };
  it("refuses reserved bits of the four entries when they are loaded", () => {
    const load = (pdpte: bigint) => outcome({ mode: "flat32" }, tables(pdpte), enable);
    expect(load(BigInt(TABLE + 0x1001))).toEqual([]);
    const at = enable.flat(3).length - 3;
    for (const bit of [1n, 2n, 5n, 8n, 40n, 63n])
      expect(load(BigInt(TABLE + 0x1001) | (1n << bit))).toEqual([`13(0)@${at}`]);
    // Not present: taken, and nothing is mapped.
    expect(load(2n)).toEqual(["shutdown"]);
  });
  it("keeps the entries until CR3 is loaded again", () => {
    const g = new Guest({ mode: "flat32" });
    tables(BigInt(TABLE + 0x1001))(g);
    // mov dword [TABLE],0; invlpg [0]; mov ebx,[DATA]
    g.view.setUint32(DATA, 77, true);
    expect(g.run(enable, 0xc7, 0x05, imm(TABLE), imm(0), 0x0f, 0x01, 0x3d, imm(0), 0x8b, 0x1d, imm(DATA))).toEqual([]);
    expect(g.get("rbx")).toBe(77);
  });
});
