import { describe, expect, it } from "vitest";
import { CS, DS, ES, FS, GS, SS_SEGMENT } from "./access.ts";
import {
  type FakeContext,
  IDT,
  longGuest,
  protectedGuest,
  SELECTOR as S,
  STACK0,
  STACK1,
  STACK3,
} from "./fake-context.ts";
import { deliver, softwareInterrupt, type TrapEvent } from "./interrupts.ts";

const RIP = 0x4002;
const V = 0x30;
const HANDLER = 0x1_2340;

const event = (more: Partial<TrapEvent> = {}): TrapEvent => ({
  vector: V,
  errorCode: -1,
  kind: "external",
  nextRip: BigInt(RIP),
  ...more,
});
const where = (c: FakeContext) => [c.r.get("cs.selector"), c.r.getBig("rip"), c.r.get("cpl"), c.r.get("codeBits")];
const rsp = (c: FakeContext) => Number(c.r.getBig("rsp"));

describe("delivery in real mode", () => {
  const real = (): FakeContext => {
    const c = protectedGuest();
    c.r.set("cr0", 0);
    for (const n of [CS, SS_SEGMENT])
      c.setSegment(n, { selector: 0x100, attributes: 0x93, limit: 0xffff, base: 0x1000n });
    c.r.setBig("rsp", 0x7000n);
    c.r.set("idtr.limit", 0x3ff);
    c.put(IDT + V * 4, 2, 0x1234, 0xf000);
    c.setEflags(0x4_0346);
    c.updateMode();
    return c;
  };
  it("pushes FLAGS, CS and IP, and clears IF, TF and AC", () => {
    const c = real();
    deliver(c, event({ kind: "exception", vector: V, errorCode: 5 }));
    expect([...where(c), rsp(c)]).toEqual([0xf000, 0x1234n, 0, 16, 0x6ffa]);
    expect(c.items(0x1000 + 0x6ffa, 2, 3)).toEqual([RIP, 0x100, 0x346]);
    expect(c.getEflags()).toBe(0x46);
    expect(c.getSegment(CS).base).toBe(0xf_0000n);
  });
  it("faults where the table or the stack ends", () => {
    const c = real();
    c.r.set("idtr.limit", V * 4 + 2);
    expect(c.faultOf(() => deliver(c, event()))).toBe(`13(${V * 8 + 3})`);
    const s = real();
    s.r.setBig("rsp", 3n);
    expect(s.faultOf(() => deliver(s, event()))).toBe("12(0)");
  });
});

describe("delivery in protected mode", () => {
  const withGate = (cpl: number, target: number = S.code0, access = 0x8e): FakeContext => {
    const c = protectedGuest(cpl);
    c.interruptGate(V, access, target, HANDLER);
    return c;
  };

  it("without a change of privilege pushes on the stack in use", () => {
    const c = withGate(0);
    c.setEflags(0x4346);
    deliver(c, event());
    expect([...where(c), rsp(c)]).toEqual([S.code0, BigInt(HANDLER), 0, 32, STACK0 - 0x10c]);
    expect(c.items(rsp(c), 4, 3)).toEqual([RIP, S.code0, 0x4346]);
    // TF, NT and, for an interrupt gate, IF.
    expect(c.getEflags()).toBe(0x46);
  });

  it("through a trap gate leaves IF", () => {
    const c = withGate(0, S.code0, 0x8f);
    c.setEflags(0x346);
    deliver(c, event());
    expect(c.getEflags()).toBe(0x246);
  });

  it("from an outer level takes the stack from the TSS", () => {
    const c = withGate(3);
    c.r.setBig("rsp", 0x1_0000_b000n);
    deliver(c, event({ kind: "exception", vector: V, errorCode: 0x55 }));
    expect([...where(c), rsp(c)]).toEqual([S.code0, BigInt(HANDLER), 0, 32, STACK0 - 24]);
    expect(c.items(rsp(c), 4, 6)).toEqual([0x55, RIP, S.code3 | 3, 0x1_0202, STACK3, S.data3 | 3]);
    expect(c.getSegment(SS_SEGMENT)).toMatchObject({ selector: S.data0, attributes: 0xc093 });
    // Segments of the program stay.
    expect(c.getSegment(DS).selector).toBe(S.data3 | 3);
  });

  it("to level 1 takes that stack", () => {
    const c = withGate(3, S.code1);
    deliver(c, event());
    expect([...where(c), rsp(c)]).toEqual([S.code1 | 1, BigInt(HANDLER), 1, 32, STACK1 - 20]);
    expect(c.getSegment(SS_SEGMENT).selector).toBe(S.data1 | 1);
  });

  it("through a 16-bit gate pushes words, the error code too", () => {
    const c = withGate(3, S.code0, 0x86);
    deliver(c, event({ kind: "exception", errorCode: 0x55 }));
    expect(c.r.getBig("rip")).toBe(BigInt(HANDLER & 0xffff));
    expect(c.items(rsp(c), 2, 6)).toEqual([0x55, RIP, S.code3 | 3, 0x202, STACK3, S.data3 | 3]);
  });

  it("to conforming code stays at its level", () => {
    const c = withGate(3, S.conforming);
    deliver(c, event());
    expect(where(c).slice(0, 3)).toEqual([S.conforming | 3, BigInt(HANDLER), 3]);
    expect(c.items(rsp(c), 4, 3)).toEqual([RIP, S.code3 | 3, 0x202]);
  });

  // SDM vol. 3B, 18.3.1.1: RF in the pushed image.
  it.each([
    ["a fault", { kind: "exception", vector: 6 }, true],
    ["a debug exception", { kind: "exception", vector: 1 }, false],
    ["a breakpoint", { kind: "exception", vector: 3 }, false],
    ["an interrupt", { kind: "external" }, false],
    ["an interrupt inside a repeated string instruction", { kind: "external", resumeFlag: true }, true],
  ] as const)("pushes RF for %s: %o", (_, more, set) => {
    const c = protectedGuest(0);
    for (const vector of [1, 3, 6, V]) c.interruptGate(vector, 0x8e, S.code0, HANDLER);
    deliver(c, event(more));
    expect(c.items(rsp(c), 4, 3)[2]).toBe(set ? 0x1_0202 : 0x202);
    expect(c.getEflags()).toBe(2);
  });

  // SDM vol. 2, INT n: the error codes of its pseudo-code. EXT is bit 0, IDT bit 1.
  it.each([
    ["the IDT ends", "external", (c: FakeContext) => c.r.set("idtr.limit", V * 8 + 6), `13(${V * 8 + 3})`],
    [
      "the gate is a call gate",
      "external",
      (c: FakeContext) => c.interruptGate(V, 0x8c, S.code0, 0),
      `13(${V * 8 + 3})`,
    ],
    ["the gate is code", "external", (c: FakeContext) => c.interruptGate(V, 0x9e, S.code0, 0), `13(${V * 8 + 3})`],
    ["the gate is absent", "external", (c: FakeContext) => c.interruptGate(V, 0x0e, S.code0, 0), `11(${V * 8 + 3})`],
    ["the gate is closed to the program", "software", () => {}, `13(${V * 8 + 2})`],
    [
      "it is closed and absent",
      "software",
      (c: FakeContext) => c.interruptGate(V, 0x0e, S.code0, 0),
      `13(${V * 8 + 2})`,
    ],
    ["CS is null", "external", (c: FakeContext) => c.interruptGate(V, 0x8e, 0, 0), "13(1)"],
    ["CS is data", "external", (c: FakeContext) => c.interruptGate(V, 0x8e, S.data0, 0), `13(${S.data0 | 1})`],
    [
      "CS is absent",
      "external",
      (c: FakeContext) => c.interruptGate(V, 0x8e, S.absentCode, 0),
      `11(${S.absentCode | 1})`,
    ],
    ["EIP is past the limit", "external", (c: FakeContext) => c.interruptGate(V, 0x8e, S.code16, 0x1_0000), "13(1)"],
    ["the TSS ends", "external", (c: FakeContext) => c.r.set("tr.limit", 8), `10(${S.tss | 1})`],
    ["the inner SS is null", "external", (c: FakeContext) => c.put(0x5008, 2, 0), "10(1)"],
    ["the inner SS is code", "external", (c: FakeContext) => c.put(0x5008, 2, S.code0), `10(${S.code0 | 1})`],
    [
      "the inner SS is absent",
      "external",
      (c: FakeContext) => c.put(0x5008, 2, S.absentData),
      `12(${S.absentData | 1})`,
    ],
    [
      "the inner stack has no room",
      "external",
      (c: FakeContext) => c.put(0x5004, 4, 6, S.data16),
      `12(${S.data16 | 1})`,
    ],
    ["the inner stack is not mapped", "external", (c: FakeContext) => c.missing.add(8n), "14(2)"],
  ] as const)("faults where %s", (_, kind, spoil, outcome) => {
    const c = withGate(3);
    spoil(c);
    expect(c.faultOf(() => deliver(c, event({ kind })))).toBe(outcome);
  });
  it("faults where a handler is less privileged than the program", () => {
    const c = withGate(0, S.code3);
    expect(c.faultOf(() => deliver(c, event()))).toBe(`13(${S.code3 | 1})`);
    expect(c.faultOf(() => softwareInterrupt(c, V, 0n))).toBe(`13(${S.code3})`);
  });
  it("faults with no selector where the stack in use has no room", () => {
    const c = withGate(0);
    c.use(SS_SEGMENT, S.data16);
    c.r.setBig("rsp", 2n);
    expect(c.faultOf(() => deliver(c, event()))).toBe("12(1)");
    expect(c.faultOf(() => softwareInterrupt(c, V, 0n))).toBe("12(0)");
  });
  it("lets software through a gate of its level, and INT1 through any", () => {
    const c = withGate(3, S.code0, 0xee);
    softwareInterrupt(c, V, BigInt(RIP));
    expect(where(c).slice(0, 3)).toEqual([S.code0, BigInt(HANDLER), 0]);
    const closed = protectedGuest(3);
    closed.interruptGate(1, 0x8e, S.code0, HANDLER);
    deliver(closed, event({ vector: 1, kind: "icebp" }));
    expect(closed.r.get("cpl")).toBe(0);
  });
});

describe("delivery out of virtual-8086 mode", () => {
  const virtual = (iopl = 0): FakeContext => {
    const c = protectedGuest(3);
    c.setEflags(0x2_0202 | (iopl << 12));
    [ES, CS, SS_SEGMENT, DS, FS, GS].forEach((n, i) => {
      c.setSegment(n, { selector: 0x100 * (i + 1), attributes: 0xf3, limit: 0xffff, base: BigInt(0x1000 * (i + 1)) });
    });
    c.r.setBig("rsp", 0x1000n);
    c.interruptGate(V, 0xee, S.code0, HANDLER);
    c.updateMode();
    return c;
  };
  it("saves all segments and leaves them null", () => {
    const c = virtual();
    deliver(c, event({ kind: "exception", vector: V, errorCode: 9 }));
    expect([...where(c), rsp(c)]).toEqual([S.code0, BigInt(HANDLER), 0, 32, STACK0 - 40]);
    expect(c.items(rsp(c), 4, 10)).toEqual([9, RIP, 0x200, 0x3_0202, 0x1000, 0x300, 0x100, 0x400, 0x500, 0x600]);
    expect(c.getEflags()).toBe(2);
    for (const n of [ES, DS, FS, GS]) expect(c.getSegment(n)).toMatchObject({ selector: 0, attributes: 0x1_0000 });
    expect(c.getSegment(SS_SEGMENT).selector).toBe(S.data0);
  });
  it("goes to level 0 only", () => {
    const c = virtual();
    for (const target of [S.conforming, S.code3 | 3, S.code1 | 1]) {
      c.interruptGate(V, 0xee, target, HANDLER);
      expect(c.faultOf(() => deliver(c, event()))).toBe(`13(${(target & 0xfffc) | 1})`);
    }
  });
  it("lets INT n through with IOPL 3 only, INT3 always", () => {
    const c = virtual(2);
    expect(c.faultOf(() => softwareInterrupt(c, V, 0n))).toBe("13(0)");
    deliver(c, event({ kind: "software" }));
    expect(c.r.get("cpl")).toBe(0);
    const open = virtual(3);
    softwareInterrupt(open, V, 0n);
    expect(open.r.get("cpl")).toBe(0);
  });
});

describe("delivery in long mode", () => {
  const withGate = (cpl: number, ist = 0, target: number = S.code0, access = 0x8e): FakeContext => {
    const c = longGuest(cpl);
    c.interruptGate(V, access, target, 0x8000_1000 | 0, ist, 0xffff_ffff);
    return c;
  };
  const TARGET = 0xffff_ffff_8000_1000n;

  it("always pushes SS and RSP, on a stack aligned to 16", () => {
    const c = withGate(0);
    c.r.setBig("rsp", 0x8ffbn);
    deliver(c, event());
    expect([...where(c), rsp(c)]).toEqual([S.code0, TARGET, 0, 64, 0x8ff0 - 40]);
    expect(c.items(rsp(c), 8, 5)).toEqual([RIP, S.code0, 0x202, 0x8ffb, S.data0]);
    // SS stays without a change of level.
    expect(c.getSegment(SS_SEGMENT).selector).toBe(S.data0);
  });
  it("from CPL 3 takes RSP0 and a null SS", () => {
    const c = withGate(3);
    deliver(c, event({ kind: "exception", vector: V, errorCode: 0x15 }));
    expect([...where(c), rsp(c)]).toEqual([S.code0, TARGET, 0, 64, STACK0 - 48]);
    expect(c.items(rsp(c), 8, 6)).toEqual([0x15, RIP, S.code3 | 3, 0x1_0202, STACK3, S.data3 | 3]);
    expect(c.getSegment(SS_SEGMENT)).toMatchObject({ selector: 0, attributes: 0x1_0000 });
  });
  it("takes the stack of the interrupt stack table at any level", () => {
    for (const cpl of [0, 3]) {
      const c = withGate(cpl, 1);
      deliver(c, event());
      expect(rsp(c)).toBe(0xc000 - 40);
    }
  });
  it("reaches 64-bit handlers from compatibility mode", () => {
    const c = withGate(0);
    c.use(CS, S.code16);
    c.updateMode();
    deliver(c, event());
    expect([...where(c), c.items(rsp(c), 8, 2)[1]]).toEqual([S.code0, TARGET, 0, 64, S.code16]);
  });
  it.each([
    ["the IDT ends inside the gate", (c: FakeContext) => c.r.set("idtr.limit", V * 16 + 14), `13(${V * 8 + 3})`],
    ["the gate has 16 bits", (c: FakeContext) => c.interruptGate(V, 0x86, S.code0, 0, 0, 0), `13(${V * 8 + 3})`],
    ["the gate is a task gate", (c: FakeContext) => c.interruptGate(V, 0x85, S.tss, 0, 0, 0), `13(${V * 8 + 3})`],
    ["CS has no L", (c: FakeContext) => c.interruptGate(V, 0x8e, S.code16, 0, 0, 0), `13(${S.code16 | 1})`],
    ["RIP is not canonical", (c: FakeContext) => c.interruptGate(V, 0x8e, S.code0, 0, 0, 0x1_0000), "13(1)"],
    ["the TSS ends", (c: FakeContext) => c.r.set("tr.limit", 10), `10(${S.tss | 1})`],
    ["RSP0 is not canonical", (c: FakeContext) => c.put(0x5004, 8, 0x8000_0000_1000n), "12(1)"],
    ["the stack is not mapped", (c: FakeContext) => c.missing.add(8n), "14(2)"],
  ])("faults where %s", (_, spoil, outcome) => {
    const c = withGate(3);
    spoil(c);
    expect(c.faultOf(() => deliver(c, event()))).toBe(outcome);
  });
});
