import { describe, expect, it } from "vitest";
import { CS, DS, ES, FS, GS, GuestFault, LDTR, SS_SEGMENT, TR } from "./access.ts";
import { type FakeContext, longGuest, protectedGuest, SELECTOR as S, TSS } from "./fake-context.ts";
import { farTransfer } from "./far.ts";
import { deliver } from "./interrupts.ts";
import { interruptReturn } from "./returns.ts";
import { TaskFault } from "./tasks.ts";

const NEXT = 0x4007;
const NEW = 0x6000;
/** The new task's TSS descriptor and a task gate for it. */
const NEW_TSS = S.free;
const GATE = S.free + 8;
const FLAGS = 0x4602;

const jump = (c: FakeContext, selector: number) =>
  farTransfer(c, { kind: "jump", selector, offset: 0n, size: 32, nextRip: BigInt(NEXT) });
const call = (c: FakeContext, selector: number) =>
  farTransfer(c, { kind: "call", selector, offset: 0n, size: 32, nextRip: BigInt(NEXT) });

interface Task {
  eip?: number;
  eflags?: number;
  cr3?: number;
  selectors?: Partial<Record<"es" | "cs" | "ss" | "ds" | "fs" | "gs" | "ldt", number>>;
  trap?: number;
}

/** A 32-bit TSS at NEW: figure 7-2 of SDM vol. 3A. */
function task32(c: FakeContext, t: Task = {}, limit = 0x67): void {
  const d = S.data0;
  const s = { es: d, cs: S.code0, ss: d, ds: d, fs: 0, gs: 0, ldt: S.ldt, ...t.selectors };
  c.describe(NEW_TSS, 0x89, 0, NEW, limit);
  c.gate(GATE, 0xe5, NEW_TSS, 0);
  c.put(NEW, 4, 0, 0, 0, 0, 0, 0, 0, t.cr3 ?? 0x7000, t.eip ?? 0x1_2345, t.eflags ?? 0x3202);
  c.put(NEW + 0x28, 4, 0x11, 0x22, 0x33, 0x44, 0xa000, 0x66, 0x77, 0x88);
  c.put(NEW + 0x48, 4, s.es, s.cs, s.ss, s.ds, s.fs, s.gs, s.ldt, t.trap ?? 0);
}

function guest(cpl = 0): FakeContext {
  const c = protectedGuest(cpl);
  c.setEflags(FLAGS);
  ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"].forEach((name, i) => {
    c.r.setBig(name, BigInt(0x100 + i));
  });
  task32(c);
  return c;
}
const registers = (c: FakeContext) =>
  ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"].map((name) => Number(c.r.getBig(name)));

/** The fault of the new task that `action` ends in. */
function taskFault(action: () => void): string {
  try {
    action();
  } catch (fault) {
    if (fault instanceof TaskFault) return `${fault.vector}(${fault.errorCode})`;
    throw fault;
  }
  return "none";
}

describe("a switch to a 32-bit task", () => {
  it("saves the old task and loads the new one", () => {
    const c = guest();
    c.use(FS, S.data3);
    jump(c, NEW_TSS);
    // Old: EIP, EFLAGS, registers, segments. Not CR3, nor LDT, nor the inner stacks.
    expect(c.items(TSS + 0x20, 4, 10)).toEqual([NEXT, FLAGS, 0x100, 0x101, 0x102, 0x103, 0x104, 0x105, 0x106, 0x107]);
    expect(c.items(TSS + 0x48, 2, 12)).toEqual([
      S.data0,
      0,
      S.code0,
      0,
      S.data0,
      0,
      S.data0,
      0,
      S.data3,
      0,
      S.data0,
      0,
    ]);
    expect(c.items(TSS + 0x1c, 4, 1)).toEqual([0]);
    expect(registers(c)).toEqual([0x11, 0x22, 0x33, 0x44, 0xa000, 0x66, 0x77, 0x88]);
    expect(c.r.getBig("rip")).toBe(0x1_2345n);
    expect(c.getEflags()).toBe(0x3202);
    expect([CS, SS_SEGMENT, DS, ES, FS, GS, LDTR, TR].map((n) => c.getSegment(n).selector)).toEqual([
      S.code0,
      S.data0,
      S.data0,
      S.data0,
      0,
      0,
      S.ldt,
      NEW_TSS,
    ]);
    expect(c.getSegment(DS).attributes).toBe(0xc093);
    expect(c.getSegment(FS).attributes).toBe(0x1_0000);
    expect(c.getSegment(TR)).toMatchObject({ attributes: 0x8b, base: BigInt(NEW), limit: 0x67 });
  });

  it("by JMP hands the busy bit over and links nothing", () => {
    const c = guest();
    jump(c, NEW_TSS);
    expect([c.access(S.tss), c.access(NEW_TSS)]).toEqual([0x89, 0x8b]);
    expect(c.items(NEW, 2, 1)).toEqual([0]);
  });

  it("by CALL nests: link, NT, both busy; IRET goes back", () => {
    const c = guest();
    call(c, GATE);
    expect([c.access(S.tss), c.access(NEW_TSS)]).toEqual([0x8b, 0x8b]);
    expect(c.items(NEW, 2, 1)).toEqual([S.tss]);
    expect(c.getEflags()).toBe(0x7202);
    c.r.setBig("rax", 0x9999n);
    interruptReturn(c, 32, 0x5555n);
    expect([c.access(S.tss), c.access(NEW_TSS)]).toEqual([0x8b, 0x89]);
    expect(c.getSegment(TR).selector).toBe(S.tss);
    expect(c.r.getBig("rip")).toBe(BigInt(NEXT));
    expect(c.getEflags()).toBe(FLAGS);
    expect(registers(c)).toEqual([0x100, 0x101, 0x102, 0x103, 0x104, 0x105, 0x106, 0x107]);
    // The nested task resumes behind its IRET, without NT.
    expect(c.items(NEW + 0x20, 4, 3)).toEqual([0x5555, 0x3202, 0x9999]);
  });

  it("sets CR0.TS and clears the local enable bits of DR7", () => {
    const c = guest();
    c.r.set("dr7", 0x7ff);
    jump(c, NEW_TSS);
    expect(c.r.get("cr0")).toBe(9);
    expect(c.r.get("dr7")).toBe(0x6aa);
  });

  it("loads CR3 where paging is on", () => {
    const c = guest();
    jump(c, NEW_TSS);
    expect([c.r.get("cr3"), c.flushes]).toEqual([0, 0]);
    const paged = guest();
    paged.r.set("cr0", 0x8000_0001);
    jump(paged, NEW_TSS);
    expect([paged.r.get("cr3"), paged.flushes]).toEqual([0x7000, 1]);
  });

  it("changes privilege by the new task's CS", () => {
    const c = guest();
    task32(c, { selectors: { cs: S.code3 | 3, ss: S.data3 | 3, ds: S.data3, es: 0 } });
    jump(c, NEW_TSS);
    expect(c.r.get("cpl")).toBe(3);
    const user = guest(3);
    call(user, GATE);
    expect(user.r.get("cpl")).toBe(0);
  });

  it("to virtual-8086 mode loads segments as that mode does", () => {
    const c = guest();
    task32(c, { eflags: 0x2_0202, eip: 0x10, selectors: { cs: 0xf000, ss: 0x100, gs: 0x600 } });
    jump(c, NEW_TSS);
    expect([c.r.get("cpl"), c.r.get("codeBits")]).toEqual([3, 16]);
    expect(c.getSegment(CS)).toEqual({ selector: 0xf000, attributes: 0xf3, limit: 0xffff, base: 0xf_0000n });
    expect(c.getSegment(GS).base).toBe(0x6000n);
  });
});

describe("a switch to a 16-bit task", () => {
  it("saves and loads words; FS and GS become null", () => {
    const c = guest();
    // Figure 7-10 of SDM vol. 3A.
    c.describe(NEW_TSS, 0x81, 0, NEW, 0x2b);
    c.put(NEW + 0x0e, 2, 0x1234, 0x3202, 0x11, 0x22, 0x33, 0x44, 0xa000, 0x66, 0x77, 0x88);
    c.put(NEW + 0x22, 2, S.data0, S.code16, S.data16, S.data0, 0);
    call(c, NEW_TSS);
    expect([c.r.getBig("rip"), c.r.get("codeBits")]).toEqual([0x1234n, 16]);
    expect(registers(c)).toEqual([0x11, 0x22, 0x33, 0x44, 0xa000, 0x66, 0x77, 0x88]);
    expect(c.getEflags()).toBe(0x7202);
    expect(c.getSegment(FS).attributes).toBe(0x1_0000);
    expect(c.getSegment(LDTR).attributes).toBe(0x1_0000);
    expect(c.getSegment(TR).attributes).toBe(0x83);
    interruptReturn(c, 16, 0x2222n);
    expect(c.items(NEW, 2, 1)).toEqual([S.tss]);
    expect(c.items(NEW + 0x0e, 2, 2)).toEqual([0x2222, 0x3202]);
    expect(c.getSegment(TR).selector).toBe(S.tss);
  });
});

describe("an interrupt through a task gate", () => {
  const event = (errorCode: number) => ({ vector: 8, errorCode, kind: "exception", nextRip: BigInt(NEXT) }) as const;
  it("nests and pushes the error code on the new stack", () => {
    const c = guest(3);
    c.interruptGate(8, 0x85, NEW_TSS, 0);
    deliver(c, event(0x55));
    expect(c.r.getBig("rsp")).toBe(0x9ffcn);
    expect(c.items(0x9ffc, 4, 1)).toEqual([0x55]);
    expect(c.items(NEW, 2, 1)).toEqual([S.tss]);
    expect(c.getEflags() & 0x4000).toBe(0x4000);
    expect(c.items(TSS + 0x20, 4, 1)).toEqual([NEXT]);
  });
  it("saves RF for a fault", () => {
    const c = guest();
    c.interruptGate(12, 0x85, NEW_TSS, 0);
    deliver(c, { ...event(0), vector: 12 });
    expect(c.items(TSS + 0x24, 4, 1)).toEqual([FLAGS | 0x1_0000]);
  });
  it("reports a stack without room as the new task's", () => {
    const c = guest();
    c.put(NEW + 0x28 + 16, 4, 2);
    c.describe(S.data0, 0x93, 4, 0, 0xffff);
    c.interruptGate(8, 0x85, NEW_TSS, 0);
    expect(taskFault(() => deliver(c, event(0)))).toBe("12(1)");
    expect(c.getSegment(TR).selector).toBe(NEW_TSS);
  });
});

describe("a task switch that cannot be made", () => {
  // SDM vol. 3A, table 7-1, and vol. 2, JMP.
  it.each([
    ["the TSS is busy", (c: FakeContext) => c.describe(NEW_TSS, 0x8b, 0, NEW, 0x67), `13(${NEW_TSS})`],
    ["the TSS is absent", (c: FakeContext) => c.describe(NEW_TSS, 0x09, 0, NEW, 0x67), `11(${NEW_TSS})`],
    ["the TSS is too short", (c: FakeContext) => c.describe(NEW_TSS, 0x89, 0, NEW, 0x66), `10(${NEW_TSS})`],
    ["the TSS is not mapped", (c: FakeContext) => c.missing.add(6n), "14(0)"],
    ["the TSS cannot be linked to", (c: FakeContext) => c.readOnly.add(6n), "14(2)"],
    ["the old TSS cannot be written", (c: FakeContext) => c.readOnly.add(5n), "14(2)"],
    ["the GDT cannot be written", (c: FakeContext) => c.readOnly.add(1n), "14(2)"],
    ["the old TSS is too short", (c: FakeContext) => c.r.set("tr.limit", 0x66), `10(${S.tss})`],
    ["the gate names data", (c: FakeContext) => c.gate(GATE, 0xe5, S.data0, 0), `13(${S.data0})`],
    ["the gate names the LDT", (c: FakeContext) => c.gate(GATE, 0xe5, 0x0c, 0), "13(12)"],
    ["the gate names nothing", (c: FakeContext) => c.gate(GATE, 0xe5, 0, 0), "13(0)"],
    ["the gate is absent", (c: FakeContext) => c.gate(GATE, 0x65, NEW_TSS, 0), `11(${GATE})`],
  ] as const)("faults in the old task where %s", (_, spoil, outcome) => {
    const c = guest();
    spoil(c);
    expect(c.faultOf(() => call(c, GATE))).toBe(outcome);
  });
  it("is guarded by the DPL of what the program names", () => {
    const c = guest(3);
    expect(c.faultOf(() => jump(c, NEW_TSS))).toBe(`13(${NEW_TSS})`);
    c.gate(GATE, 0x85, NEW_TSS, 0);
    expect(c.faultOf(() => jump(c, GATE))).toBe(`13(${GATE})`);
  });
  it.each([
    ["null", 0, "10(0)"],
    ["in the LDT", 0x0c, "10(12)"],
    ["past the GDT", 0x1000, "10(4096)"],
    ["not busy", NEW_TSS, `10(${NEW_TSS})`],
    ["data", S.data0, `10(${S.data0})`],
  ])("faults in IRET where the link is %s", (_, link, outcome) => {
    const c = guest();
    c.put(TSS, 2, link);
    expect(c.faultOf(() => interruptReturn(c, 32, 0n))).toBe(outcome);
  });
  it("does not exist in long mode", () => {
    const c = longGuest();
    task32(c);
    expect(c.faultOf(() => jump(c, NEW_TSS))).toBe(`13(${NEW_TSS})`);
  });
});

describe("a fault of the new task", () => {
  // SDM vol. 3A, table 7-1.
  it.each([
    ["LDT in the LDT", { ldt: 0x0c }, "10(12)"],
    ["LDT that is none", { ldt: S.data0 }, `10(${S.data0})`],
    ["null CS", { cs: 0 }, "10(0)"],
    ["CS that is data", { cs: S.data0 }, `10(${S.data0})`],
    ["CS with another RPL", { cs: S.code0 | 1 }, `10(${S.code0})`],
    ["absent CS", { cs: S.absentCode }, `11(${S.absentCode})`],
    ["null SS", { ss: 0 }, "10(0)"],
    ["read-only SS", { ss: S.readOnlyData }, `10(${S.readOnlyData})`],
    ["SS of another level", { ss: S.data3 }, `10(${S.data3})`],
    ["absent SS", { ss: S.absentData }, `12(${S.absentData})`],
    ["DS past the GDT", { ds: 0x1000 }, "10(4096)"],
    ["execute-only DS", { ds: S.executeOnly }, `10(${S.executeOnly})`],
    ["DS with RPL above DPL", { ds: S.data0 | 3 }, `10(${S.data0})`],
    ["absent GS", { gs: S.absentData }, `11(${S.absentData})`],
    ["EIP past the limit", { cs: S.code16 }, "13(0)"],
  ])("has all of that task's state: %s", (_, selectors, outcome) => {
    const c = guest();
    task32(c, { selectors });
    expect(taskFault(() => jump(c, NEW_TSS))).toBe(outcome);
    expect(c.getSegment(TR).selector).toBe(NEW_TSS);
    expect(c.r.getBig("rip")).toBe(0x1_2345n);
    for (const [name, selector] of Object.entries(selectors)) {
      expect(c.r.get(name === "ldt" ? "ldtr.selector" : `${name}.selector`)).toBe(selector);
    }
  });
  it("has EXT where an interrupt made the switch", () => {
    const c = guest();
    task32(c, { selectors: { ss: 0 } });
    c.interruptGate(8, 0x85, NEW_TSS, 0);
    const event = { vector: 8, errorCode: 0, kind: "exception", nextRip: 0n } as const;
    expect(taskFault(() => deliver(c, event))).toBe("10(1)");
  });
  it("is a debug trap where the TSS has T set", () => {
    const c = guest();
    task32(c, { trap: 1 });
    expect(taskFault(() => jump(c, NEW_TSS))).toBe("1(-1)");
    expect(c.r.get("dr6") & 0x8000).toBe(0x8000);
    expect(c.getSegment(DS).attributes).toBe(0xc093);
  });
  it("is told apart from one of the old task", () => {
    const c = guest();
    expect(() => jump(c, 0x1000)).toThrow(GuestFault);
    expect(() => jump(c, 0x1000)).not.toThrow(TaskFault);
  });
});
