import { describe, expect, it } from "vitest";
import { CS, DS, ES, FS, GS, SS_SEGMENT } from "./access.ts";
import { type FakeContext, longGuest, protectedGuest, SELECTOR as S, STACK3 } from "./fake-context.ts";
import type { OperandSize } from "./far.ts";
import { farReturn, interruptReturn } from "./returns.ts";

const NEXT = 0x4002n;
const SP = 0x8000;

/** Puts items of the operand size on the stack in use. */
function stack(c: FakeContext, size: OperandSize, ...items: (number | bigint)[]): void {
  c.r.setBig("rsp", BigInt(SP));
  c.put(SP, (size / 8) as 2 | 4 | 8, ...items);
}
const iret = (c: FakeContext, size: OperandSize = 32) => interruptReturn(c, size, NEXT);
const where = (c: FakeContext) => [c.r.get("cs.selector"), c.r.getBig("rip"), c.r.get("cpl"), c.r.get("codeBits")];
const rsp = (c: FakeContext) => Number(c.r.getBig("rsp"));

function real(): FakeContext {
  const c = protectedGuest();
  c.r.set("cr0", 0);
  for (const n of [CS, SS_SEGMENT]) c.setSegment(n, { selector: 0, attributes: 0x93, limit: 0xffff, base: 0n });
  c.updateMode();
  return c;
}

describe("a far RET", () => {
  it("to the same level drops the parameters", () => {
    const c = protectedGuest(3);
    stack(c, 32, 0x1234, S.code3 | 3);
    farReturn(c, 32, 12);
    expect([...where(c), rsp(c)]).toEqual([S.code3 | 3, 0x1234n, 3, 32, SP + 20]);
  });

  it("to an outer level drops them from both stacks and closes inner segments", () => {
    const c = protectedGuest(0);
    c.use(ES, S.data3 | 3);
    c.use(FS, S.conforming);
    stack(c, 32, 0x1234, S.code3 | 3, 0xaaaa, 0xbbbb, STACK3, S.data3 | 3);
    farReturn(c, 32, 8);
    expect([...where(c), rsp(c)]).toEqual([S.code3 | 3, 0x1234n, 3, 32, STACK3 + 8]);
    expect(c.getSegment(SS_SEGMENT).selector).toBe(S.data3 | 3);
    expect(c.getSegment(ES).selector).toBe(S.data3 | 3);
    expect(c.getSegment(FS).selector).toBe(S.conforming);
    for (const n of [DS, GS]) expect(c.getSegment(n)).toMatchObject({ selector: 0, attributes: 0x1_0000 });
  });

  it("leaves alone what lies above the stack pointer of 16-bit stacks", () => {
    const c = protectedGuest(0);
    c.describe(S.free, 0xf2, 0, 0, 0xffff);
    stack(c, 32, 0x1234, S.code3 | 3, 0xaaaa, 0x5555_fffe, S.free | 3);
    c.r.setBig("rsp", 0xdead_0000_8000n);
    c.use(SS_SEGMENT, S.data16);
    farReturn(c, 32, 4);
    expect(c.r.getBig("rsp")).toBe(0xdead_0000_0002n);
  });

  it("in real mode loads CS and IP", () => {
    const c = real();
    stack(c, 16, 0x10, 0x2000);
    farReturn(c, 16, 2);
    expect([...where(c), rsp(c)]).toEqual([0x2000, 0x10n, 0, 16, SP + 6]);
    expect(c.getSegment(CS).base).toBe(0x2_0000n);
  });

  // SDM vol. 2, RET: protected mode exceptions.
  it.each([
    ["CS is null", 0, [0, 3], "13(0)"],
    ["CS lies past the GDT", 0, [0, 0x1000], "13(4096)"],
    ["CS is data", 0, [0, S.data0], `13(${S.data0})`],
    ["CS is more privileged", 3, [0, S.code0], `13(${S.code0})`],
    ["RPL is not DPL", 0, [0, S.code0 | 3], `13(${S.code0})`],
    ["conforming DPL is above RPL", 0, [0, S.free], `13(${S.free})`],
    ["CS is absent", 0, [0, S.absentCode], `11(${S.absentCode})`],
    ["EIP is past the limit", 0, [0x1_0000, S.code16], "13(0)"],
    ["the outer SS is null", 0, [0, S.code3 | 3, 0, 0], "13(0)"],
    ["the outer SS has another RPL", 0, [0, S.code3 | 3, 0, S.data3], `13(${S.data3})`],
    ["the outer SS has another DPL", 0, [0, S.code3 | 3, 0, S.data0 | 3], `13(${S.data0})`],
    ["the outer SS is code", 0, [0, S.code3 | 3, 0, S.code3 | 3], `13(${S.code3})`],
  ])("faults where %s", (_, cpl, items, outcome) => {
    const c = protectedGuest(cpl);
    c.describe(S.free, 0xfe, 0xc);
    stack(c, 32, ...items);
    expect(c.faultOf(() => farReturn(c, 32, 0))).toBe(outcome);
  });
  it("faults where the stack ends", () => {
    const c = protectedGuest();
    c.describe(S.free, 0x92, 4, 0, SP + 5);
    stack(c, 32, 0, S.code0);
    c.use(SS_SEGMENT, S.free);
    expect(c.faultOf(() => farReturn(c, 32, 0))).toBe("12(0)");
  });
});

describe("IRET in real mode", () => {
  it("takes all flags but VM, VIF and VIP", () => {
    const c = real();
    c.setEflags(0x0008_0002);
    stack(c, 32, 0x10, 0x2000, 0xffff_ffffn);
    iret(c);
    expect(c.getEflags()).toBe(0x002d_7fd7);
    expect([...where(c), rsp(c)]).toEqual([0x2000, 0x10n, 0, 16, SP + 12]);
  });
  it("of 16 bits leaves the upper half of EFLAGS", () => {
    const c = real();
    c.setEflags(0x0024_0002);
    stack(c, 16, 0x10, 0x2000, 0xffff);
    iret(c, 16);
    expect(c.getEflags()).toBe(0x0024_7fd7);
  });
});

describe("IRET in virtual-8086 mode", () => {
  const virtual = (iopl: number): FakeContext => {
    const c = real();
    c.r.set("cr0", 1);
    c.setCpl(3);
    c.setEflags(0x2_0002 | (iopl << 12));
    c.updateMode();
    return c;
  };
  it("needs IOPL 3, and ends the blocking of NMIs even where it faults", () => {
    const c = virtual(2);
    c.r.set("nmiBlocked", 1);
    stack(c, 16, 0x10, 0x2000, 0);
    expect(c.faultOf(() => iret(c, 16), "nmiBlocked", "attention")).toBe("13(0)");
    expect(c.r.get("nmiBlocked")).toBe(0);
  });
  it("keeps VM and IOPL", () => {
    const c = virtual(3);
    stack(c, 32, 0x10, 0x2000, 0xffff_8fff);
    iret(c);
    expect(c.getEflags()).toBe(0x0027_3fd7);
    expect(c.getSegment(CS)).toEqual({ selector: 0x2000, attributes: 0xf3, limit: 0xffff, base: 0x2_0000n });
  });
});

describe("IRET in protected mode", () => {
  it("to the same level pops three items", () => {
    const c = protectedGuest(0);
    stack(c, 32, 0x1234, S.code0, 0xffff_ffffn & ~0x2_4000n);
    iret(c);
    expect([...where(c), rsp(c)]).toEqual([S.code0, 0x1234n, 0, 32, SP + 12]);
    expect(c.getEflags()).toBe(0x003d_3fd7);
  });

  // SDM vol. 2, IRET: which flags each privilege level and size may change.
  it.each([
    ["CPL 0", 0, 0, 32, 0x003d_3fd7],
    ["CPL 3, IOPL 0", 3, 0x0000, 32, 0x0025_0dd7],
    ["CPL 3, IOPL 3", 3, 0x3000, 32, 0x0025_3fd7],
    ["CPL 0, 16 bits", 0, 0, 16, 0x0000_3fd7],
  ] as const)("changes the flags it may: %s", (_, cpl, flags, size, expected) => {
    const c = protectedGuest(cpl);
    c.setEflags(flags);
    stack(c, size, 0, cpl ? S.code3 | 3 : S.code0, 0xffff_ffffn & ~0x2_4000n);
    iret(c, size);
    expect(c.getEflags()).toBe(expected);
  });

  it("to an outer level takes flags by the level it leaves", () => {
    const c = protectedGuest(0);
    c.setEflags(2);
    stack(c, 32, 0x1234, S.code3 | 3, 0x3246, STACK3, S.data3 | 3);
    iret(c);
    expect([...where(c), rsp(c)]).toEqual([S.code3 | 3, 0x1234n, 3, 32, STACK3]);
    expect(c.getEflags()).toBe(0x3246);
    expect(c.getSegment(DS).attributes).toBe(0x1_0000);
  });

  it("loads only SP where the outer stack has 16 bits", () => {
    const c = protectedGuest(0);
    c.describe(S.free, 0xf2, 0, 0, 0xffff);
    stack(c, 32, 0x1234, S.code3 | 3, 0x202, 0x1111_2222, S.free | 3);
    iret(c);
    expect(rsp(c)).toBe(0x2222);
    const high = protectedGuest(0);
    high.describe(S.free, 0xf2, 0, 0, 0xffff);
    high.put(0x1_8000, 4, 0x1234, S.code3 | 3, 0x202, 0x1111_2222, S.free | 3);
    high.r.setBig("rsp", 0x1_8000n);
    iret(high);
    expect(rsp(high)).toBe(0x1_2222);
  });

  it("to virtual-8086 mode loads every segment", () => {
    const c = protectedGuest(0);
    stack(c, 32, 0xfff0, 0xf000, 0x0002_3202, 0xfffe, 0x100, 0x200, 0x300, 0x400, 0x500);
    iret(c);
    expect([...where(c), rsp(c)]).toEqual([0xf000, 0xfff0n, 3, 16, 0xfffe]);
    expect([SS_SEGMENT, ES, DS, FS, GS].map((n) => c.getSegment(n).selector)).toEqual([
      0x100, 0x200, 0x300, 0x400, 0x500,
    ]);
    expect(c.getSegment(GS)).toMatchObject({ attributes: 0xf3, limit: 0xffff, base: 0x5000n });
    expect(c.getEflags()).toBe(0x2_3202);
  });
  it("to virtual-8086 mode wants EIP inside 64 KiB and CPL 0", () => {
    const c = protectedGuest(0);
    stack(c, 32, 0x1_0000, 0xf000, 0x0002_3202, 0xfffe, 0, 0, 0, 0, 0);
    expect(c.faultOf(() => iret(c))).toBe("13(0)");
    const user = protectedGuest(3);
    stack(user, 32, 0x10, S.code3 | 3, 0x2_0202);
    iret(user);
    expect(user.getEflags()).toBe(0x202);
  });

  it.each([
    ["CS is null", [0, 0, 2], "13(0)"],
    ["CS is data", [0, S.data0, 2], `13(${S.data0})`],
    ["CS is absent", [0, S.absentCode, 2], `11(${S.absentCode})`],
    ["EIP is past the limit", [0x1_0000, S.code16, 2], "13(0)"],
    ["the outer SS is null", [0, S.code3 | 3, 2, 0, 3], "13(0)"],
    ["the outer SS is absent", [0, S.code3 | 3, 2, 0, S.free | 3], `12(${S.free})`],
  ])("faults where %s", (_, items, outcome) => {
    const c = protectedGuest(0);
    c.describe(S.free, 0x72, 0xc);
    stack(c, 32, ...items);
    expect(c.faultOf(() => iret(c))).toBe(outcome);
  });
});

describe("IRET in long mode", () => {
  it("pops five items in 64-bit mode, also to the same level", () => {
    const c = longGuest(0);
    stack(c, 64, 0xffff_8000_0000_1000n, S.code0, 0x246, 0xffff_c000_0000_0008n, 0);
    iret(c, 64);
    expect([...where(c), c.r.getBig("rsp")]).toEqual([S.code0, 0xffff_8000_0000_1000n, 0, 64, 0xffff_c000_0000_0008n]);
    expect(c.getSegment(SS_SEGMENT)).toMatchObject({ selector: 0, attributes: 0x1_0000 });
  });

  it("keeps the base of a null FS on the way out, and closes inner segments", () => {
    const c = longGuest(0);
    c.setSegment(FS, { selector: 0, attributes: 0x1_0000, limit: 0, base: 0x7fff_0000_1000n });
    stack(c, 64, 0x1000, S.code3 | 3, 0x202, STACK3, S.data3 | 3);
    iret(c, 64);
    expect([...where(c), rsp(c)]).toEqual([S.code3 | 3, 0x1000n, 3, 64, STACK3]);
    expect(c.getSegment(FS).base).toBe(0x7fff_0000_1000n);
    expect(c.getSegment(DS)).toMatchObject({ selector: 0, attributes: 0x1_0000 });
  });

  it("goes to compatibility mode and comes back", () => {
    const c = longGuest(0);
    c.describe(S.free, 0xfa, 0xc);
    stack(c, 64, 0x1000, S.free | 3, 0x202, 0xffff_ffff_1111_2222n, S.data3 | 3);
    iret(c, 64);
    expect([...where(c), rsp(c)]).toEqual([S.free | 3, 0x1000n, 3, 32, 0x1111_2222]);
    // Compatibility mode, same level: three items, to 64-bit code.
    stack(c, 32, 0x2000, S.code3 | 3, 0x202);
    iret(c);
    expect([...where(c), rsp(c)]).toEqual([S.code3 | 3, 0x2000n, 3, 64, SP + 12]);
  });

  it.each([
    ["RIP is not canonical", 0, [0x8000_0000_0000n, S.code0, 2, 0, 0], "13(0)"],
    ["SS is null at CPL 3", 0, [0, S.code3 | 3, 2, 0, 3], "13(0)"],
    ["SS is null with another RPL", 0, [0, S.code0, 2, 0, 1], "13(0)"],
    ["SS is null for compatibility mode", 0, [0, S.code16, 2, 0, 0], "13(0)"],
    ["SS has another DPL", 0, [0, S.code0, 2, 0, S.data3], `13(${S.data3})`],
    ["the stack is not canonical", 0x8000_0000_0000n, [], "12(0)"],
  ])("faults where %s", (_, pointer, items, outcome) => {
    const c = longGuest(0);
    stack(c, 64, ...items);
    if (pointer) c.r.setBig("rsp", BigInt(pointer));
    expect(c.faultOf(() => iret(c, 64))).toBe(outcome);
  });
  it("faults where NT is set", () => {
    const c = longGuest(0);
    c.setEflags(0x4202);
    stack(c, 64, 0, S.code0, 2, 0, 0);
    expect(c.faultOf(() => iret(c, 64))).toBe("13(0)");
  });
});
