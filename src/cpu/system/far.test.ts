import { describe, expect, it } from "vitest";
import { CS, SS_SEGMENT } from "./access.ts";
import { type FakeContext, longGuest, protectedGuest, SELECTOR as S, STACK0, STACK3 } from "./fake-context.ts";
import { farTransfer, type OperandSize } from "./far.ts";

const NEXT = 0x4005n;

const jump = (c: FakeContext, selector: number, offset: number | bigint, size: OperandSize = 32) =>
  farTransfer(c, { kind: "jump", selector, offset: BigInt(offset), size, nextRip: NEXT });
const call = (c: FakeContext, selector: number, offset: number | bigint, size: OperandSize = 32) =>
  farTransfer(c, { kind: "call", selector, offset: BigInt(offset), size, nextRip: NEXT });

const where = (c: FakeContext) => [c.r.get("cs.selector"), c.r.getBig("rip"), c.r.get("cpl"), c.r.get("codeBits")];
const rsp = (c: FakeContext) => Number(c.r.getBig("rsp"));

function realGuest(): FakeContext {
  const c = protectedGuest();
  c.r.set("cr0", 0);
  for (const number of [0, 1, 2, 3, 4, 5]) {
    c.setSegment(number, { selector: 0x100, attributes: 0x93, limit: 0xffff, base: 0x1000n });
  }
  c.r.setBig("rsp", 0x8000n);
  c.updateMode();
  return c;
}

describe("a far transfer in real mode", () => {
  it("loads CS with base and offset", () => {
    const c = realGuest();
    jump(c, 0xf000, 0xfff0, 16);
    expect(where(c)).toEqual([0xf000, 0xfff0n, 0, 16]);
    expect(c.getSegment(CS)).toMatchObject({ base: 0xf_0000n, limit: 0xffff });
  });
  it("pushes CS and IP of the operand size", () => {
    const c = realGuest();
    call(c, 0x200, 0x10, 16);
    expect(c.items(0x1000 + 0x7ffc, 2, 2)).toEqual([0x4005, 0x100]);
    expect(rsp(c)).toBe(0x7ffc);
    const wide = realGuest();
    call(wide, 0x200, 0x10, 32);
    expect(wide.items(0x1000 + 0x7ff8, 4, 2)).toEqual([0x4005, 0x100]);
  });
  it("faults where the offset lies past the limit, or the stack wraps inside an item", () => {
    const c = realGuest();
    expect(c.faultOf(() => jump(c, 0x200, 0x1_0000))).toBe("13(0)");
    c.r.setBig("rsp", 1n);
    expect(c.faultOf(() => call(c, 0x200, 0, 16))).toBe("12(0)");
    c.r.setBig("rsp", 0xabcd_0000n);
    call(c, 0x200, 0, 16);
    // From the top of the segment again; the upper half of ESP stays.
    expect(rsp(c)).toBe(0xabcd_fffc);
  });
});

describe("a far transfer to a code segment", () => {
  it("stays at its privilege level and takes RPL from it", () => {
    const c = protectedGuest(3);
    jump(c, S.code3, 0x1234);
    expect(where(c)).toEqual([S.code3 | 3, 0x1234n, 3, 32]);
    expect(c.access(S.code3)).toBe(0xfb);
    jump(c, S.conforming, 0x77);
    expect(where(c)).toEqual([S.conforming | 3, 0x77n, 3, 32]);
  });
  it("cuts the offset to 16 bits with that operand size, and decodes 16-bit code", () => {
    const c = protectedGuest();
    jump(c, S.code16, 0x1_2345, 16);
    expect(where(c)).toEqual([S.code16, 0x2345n, 0, 16]);
  });
  it("pushes CS and EIP, each of the operand size", () => {
    const c = protectedGuest();
    call(c, S.code0, 0x100);
    expect(c.items(rsp(c), 4, 2)).toEqual([0x4005, S.code0]);
    expect(rsp(c)).toBe(STACK0 - 0x108);
    call(c, S.code0, 0x100, 16);
    expect(c.items(rsp(c), 2, 2)).toEqual([0x4005, S.code0]);
  });

  // SDM vol. 2, JMP: protected mode exceptions.
  it.each([
    ["null", 0, 3, 0, "13(0)"],
    ["past the GDT", 0, 0x1000, 0, "13(4096)"],
    ["data", 0, S.data0, 0, `13(${S.data0})`],
    ["more privileged", 3, S.code0, 0, `13(${S.code0})`],
    ["less privileged", 0, S.code3, 0, `13(${S.code3})`],
    ["RPL above CPL", 0, S.code0 | 1, 0, `13(${S.code0})`],
    ["RPL above CPL, conforming", 0, S.conforming | 3, 0, "none"],
    ["absent", 0, S.absentCode, 0, `11(${S.absentCode})`],
    ["past its limit", 0, S.code16, 0x1_0000, "13(0)"],
    ["an LDT", 0, S.ldt, 0, `13(${S.ldt})`],
  ])("checks: %s", (_, cpl, selector, offset, outcome) => {
    for (const transfer of [jump, call]) {
      const c = protectedGuest(cpl);
      expect(c.faultOf(() => transfer(c, selector, offset))).toBe(outcome);
    }
  });
  it("does not enter conforming code that is less privileged", () => {
    const c = protectedGuest();
    c.describe(S.free, 0xfe, 0xc);
    expect(c.faultOf(() => jump(c, S.free, 0))).toBe(`13(${S.free})`);
  });
  it("leaves all as it was where the stack has no room or the accessed bit cannot be written", () => {
    const c = protectedGuest();
    c.missing.add(BigInt((STACK0 - 0x104) >> 12));
    expect(c.faultOf(() => call(c, S.code0, 0))).toBe("14(2)");
    const limited = protectedGuest();
    limited.describe(S.free, 0x92, 4, 0, 0x8efb);
    limited.use(SS_SEGMENT, S.free);
    expect(limited.faultOf(() => call(limited, S.code0, 0))).toBe("12(0)");
    const locked = protectedGuest();
    locked.readOnly.add(1n);
    expect(locked.faultOf(() => call(locked, S.code16, 0))).toBe("14(2)");
  });
});

describe("a call gate", () => {
  const CODE_OFFSET = 0x1_2340;
  const withGate = (cpl: number, target: number, access = 0xec, parameters = 0): FakeContext => {
    const c = protectedGuest(cpl);
    c.gate(S.free, access, target, CODE_OFFSET, parameters);
    return c;
  };

  it("to the same level pushes CS and EIP and ignores the offset in the instruction", () => {
    const c = withGate(3, S.code3);
    call(c, S.free | 3, 0xdead_beefn);
    expect(where(c)).toEqual([S.code3 | 3, BigInt(CODE_OFFSET), 3, 32]);
    expect(c.items(rsp(c), 4, 2)).toEqual([0x4005, S.code3 | 3]);
  });

  it("to an inner level takes the stack from the TSS and copies the parameters", () => {
    const c = withGate(3, S.code0, 0xec, 2);
    c.put(STACK3, 4, 0x1111, 0x2222);
    c.r.setBig("rsp", 0x1_0000_0000n + BigInt(STACK3));
    call(c, S.free | 3, 0);
    expect(where(c)).toEqual([S.code0, BigInt(CODE_OFFSET), 0, 32]);
    expect(c.getSegment(SS_SEGMENT)).toMatchObject({ selector: S.data0, attributes: 0xc093 });
    expect(rsp(c)).toBe(STACK0 - 24);
    expect(c.items(rsp(c), 4, 6)).toEqual([0x4005, S.code3 | 3, 0x1111, 0x2222, STACK3, S.data3 | 3]);
    // The outer stack was read as the program, the inner one written by the CPU.
    const last = c.accesses.filter((a) => a.linear >= 0x8000n);
    expect(
      new Set(last.map((a) => `${a.kind} ${a.privilege} ${a.linear >= BigInt(STACK3) ? "outer" : "inner"}`)),
    ).toEqual(new Set(["read program outer", "write system inner"]));
  });

  it("of 16 bits pushes words", () => {
    const c = withGate(3, S.code0, 0xe4, 1);
    c.put(STACK3, 2, 0x7777);
    call(c, S.free | 3, 0);
    expect(where(c)).toEqual([S.code0, BigInt(CODE_OFFSET & 0xffff), 0, 32]);
    expect(c.items(rsp(c), 2, 5)).toEqual([0x4005, S.code3 | 3, 0x7777, STACK3, S.data3 | 3]);
  });

  it("keeps the level where its code conforms", () => {
    const c = withGate(3, S.conforming);
    call(c, S.free | 3, 0);
    expect(where(c).slice(0, 3)).toEqual([S.conforming | 3, BigInt(CODE_OFFSET), 3]);
  });

  it("cannot be jumped through to an inner level", () => {
    const c = withGate(3, S.code0);
    expect(c.faultOf(() => jump(c, S.free | 3, 0))).toBe(`13(${S.code0})`);
    const same = withGate(3, S.code3);
    jump(same, S.free, 0);
    expect(where(same).slice(0, 2)).toEqual([S.code3 | 3, BigInt(CODE_OFFSET)]);
  });

  // SDM vol. 3A, 5.8.4, and vol. 2, CALL.
  it.each([
    ["the gate is for another level", S.code0, 0x8c, 3, () => {}, `13(${S.free})`],
    ["RPL above the gate's DPL", S.code0, 0x8c, 0, () => {}, "13(128)", 1],
    ["the gate is absent", S.code0, 0x6c, 3, () => {}, `11(${S.free})`],
    ["its target is null", 3, 0xec, 3, () => {}, "13(0)"],
    ["its target is data", S.data0, 0xec, 3, () => {}, `13(${S.data0})`],
    ["its target is absent", S.absentCode, 0xec, 3, () => {}, `11(${S.absentCode})`],
    ["its target is less privileged", S.code3, 0x8c, 0, () => {}, `13(${S.code3})`],
    ["its offset is past the limit", S.code16, 0xec, 3, () => {}, "13(0)"],
    ["the TSS is too short", S.code0, 0xec, 3, (c: FakeContext) => c.r.set("tr.limit", 8), `10(${S.tss})`],
    ["the stack is null", S.code0, 0xec, 3, (c: FakeContext) => c.put(0x5008, 4, 0), "10(0)"],
    [
      "the stack has another RPL",
      S.code0,
      0xec,
      3,
      (c: FakeContext) => c.put(0x5008, 4, S.data0 | 1),
      `10(${S.data0})`,
    ],
    ["the stack has another DPL", S.code0, 0xec, 3, (c: FakeContext) => c.put(0x5008, 4, S.data3), `10(${S.data3})`],
    [
      "the stack is read-only",
      S.code0,
      0xec,
      3,
      (c: FakeContext) => c.put(0x5008, 4, S.readOnlyData),
      `10(${S.readOnlyData})`,
    ],
    [
      "the stack is absent",
      S.code0,
      0xec,
      3,
      (c: FakeContext) => c.put(0x5008, 4, S.absentData),
      `12(${S.absentData})`,
    ],
    ["the stack has no room", S.code0, 0xec, 3, (c: FakeContext) => c.put(0x5004, 4, 6, S.data16), `12(${S.data16})`],
  ])("faults where %s", (_, target, access, cpl, spoil, outcome, rpl = cpl) => {
    const c = withGate(cpl, target, access);
    spoil(c);
    expect(c.faultOf(() => call(c, S.free | rpl, 0))).toBe(outcome);
  });
});

describe("a far transfer in long mode", () => {
  it("goes between 64-bit and compatibility code", () => {
    const c = longGuest();
    jump(c, S.code16, 0x1000);
    expect(where(c)).toEqual([S.code16, 0x1000n, 0, 16]);
    jump(c, S.code0, 0x1234_5678);
    expect(where(c)).toEqual([S.code0, 0x1234_5678n, 0, 64]);
    jump(c, S.code0, 0xffff_8000_1234_5678n, 64);
    expect(c.r.getBig("rip")).toBe(0xffff_8000_1234_5678n);
  });
  it("wants a canonical target, and not L and D at once", () => {
    const c = longGuest();
    expect(c.faultOf(() => jump(c, S.code0, 0x8000_0000_0000n, 64))).toBe("13(0)");
    c.r.set("cr4", 0x1000);
    expect(c.faultOf(() => jump(c, S.code0, 0x8000_0000_0000n, 64))).toBe("none");
    c.describe(S.free, 0x9a, 0xe);
    expect(c.faultOf(() => jump(c, S.free, 0))).toBe(`13(${S.free})`);
  });
  it("calls through 64-bit gates, and loads SS with null for an inner level", () => {
    const c = longGuest(3);
    c.gate(S.free, 0xec, S.code0, 0x8000_0000 | 0, 0, 0xffff_ffff);
    call(c, S.free | 3, 0);
    expect(where(c)).toEqual([S.code0, 0xffff_ffff_8000_0000n, 0, 64]);
    expect(c.getSegment(SS_SEGMENT)).toMatchObject({ selector: 0, attributes: 0x1_0000 });
    expect(c.items(STACK0 - 32, 8, 4)).toEqual([0x4005, S.code3 | 3, STACK3, S.data3 | 3]);
    expect(rsp(c)).toBe(STACK0 - 32);
  });
  it("checks the parts of a 64-bit gate", () => {
    const c = longGuest(3);
    c.gate(S.free, 0xec, S.code0, 0, 0, 0x1234_5678);
    expect(c.faultOf(() => call(c, S.free | 3, 0))).toBe("13(0)");
    c.put(0x1000 + S.free + 12, 4, 0xc00);
    expect(c.faultOf(() => call(c, S.free | 3, 0))).toBe(`13(${S.free})`);
    c.gate(S.free, 0xec, S.code16, 0, 0, 0);
    expect(c.faultOf(() => call(c, S.free | 3, 0))).toBe(`13(${S.code16})`);
    c.gate(S.free, 0xec, S.code0, 0, 0, 0);
    c.put(0x5004, 8, 0x8000_0000_0000_0010n);
    expect(c.faultOf(() => call(c, S.free | 3, 0))).toBe("12(0)");
    c.r.set("tr.limit", 10);
    expect(c.faultOf(() => call(c, S.free | 3, 0))).toBe(`10(${S.tss})`);
  });
  it("has no tasks and no 16-bit gates", () => {
    const c = longGuest();
    for (const access of [0x84, 0x85, 0x89, 0x81]) {
      c.gate(S.free, access, S.code0, 0, 0, 0);
      expect(c.faultOf(() => call(c, S.free, 0))).toBe(`13(${S.free})`);
    }
  });
});
