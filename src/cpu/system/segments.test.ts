import { describe, expect, it } from "vitest";
import { CS, DS, ES, FS, GS, LDTR, SS_SEGMENT, TR } from "./access.ts";
import { FLAT32, longGuest, protectedGuest, SELECTOR as S } from "./fake-context.ts";
import { accessRights, loadLdtr, loadSegment, loadTaskRegister, mayRead, mayWrite, segmentLimit } from "./segments.ts";

describe("a load of a data segment register", () => {
  it("takes base, limit and attributes over and marks the descriptor as accessed", () => {
    const c = protectedGuest();
    c.describe(S.free, 0xf2, 0xd, 0x1234_5678, 0x5_4321);
    loadSegment(c, DS, S.free | 2);
    expect(c.getSegment(DS)).toEqual({
      selector: S.free | 2,
      attributes: 0xd0f3,
      limit: 0x5432_1fff,
      base: 0x1234_5678n,
    });
    expect(c.access(S.free)).toBe(0xf3);
  });

  it("does not write a descriptor that is accessed already", () => {
    const c = protectedGuest();
    c.describe(S.free, 0x93, FLAT32);
    c.readOnly.add(1n);
    loadSegment(c, DS, S.free);
    expect(c.getSegment(DS).selector).toBe(S.free);
    expect(c.faultOf(() => loadSegment(c, ES, S.data0))).toBe("14(2)");
  });

  it("reads tables as the CPU, whatever the privilege of the program", () => {
    const c = protectedGuest(3);
    loadSegment(c, ES, S.data3 | 3);
    expect(c.accesses.length).toBeGreaterThan(1);
    expect(c.accesses.every((a) => a.privilege === "system")).toBe(true);
  });

  it("makes the segment unusable where the selector is null, and says so to no one until it is used", () => {
    const c = protectedGuest(3);
    for (const selector of [0, 3]) {
      loadSegment(c, GS, selector);
      expect(c.getSegment(GS)).toEqual({ selector, attributes: 0x1_0000, limit: 0, base: 0n });
    }
  });

  // SDM vol. 2, MOV: protected mode exceptions.
  it.each([
    ["past the end of the GDT", 0, 0x1000, "13(4096)"],
    ["past the end of the LDT", 0, 0x104, "13(260)"],
    ["a system descriptor", 0, S.tss, `13(${S.tss})`],
    ["execute-only code", 0, S.executeOnly, `13(${S.executeOnly})`],
    ["a segment that is absent", 0, S.absentData, `11(${S.absentData})`],
    ["RPL above DPL", 0, S.data0 | 1, `13(${S.data0})`],
    ["CPL above DPL", 3, S.data0, `13(${S.data0})`],
    ["readable code of another level", 3, S.code0, `13(${S.code0})`],
    ["conforming code of any level", 3, S.conforming | 3, "none"],
    ["readable code", 0, S.code0, "none"],
    ["read-only data", 0, S.readOnlyData, "none"],
  ])("checks: %s", (_, cpl, selector, outcome) => {
    const c = protectedGuest(cpl);
    expect(c.faultOf(() => loadSegment(c, ES, selector))).toBe(outcome);
  });

  it("finds descriptors in the LDT, and none where LDTR is null", () => {
    const c = protectedGuest();
    c.describe(0x0c, 0x92, FLAT32, 0x777);
    loadSegment(c, FS, 0x0c);
    expect(c.getSegment(FS).base).toBe(0x777n);
    loadLdtr(c, 0);
    expect(c.faultOf(() => loadSegment(c, FS, 0x0c))).toBe("13(12)");
  });

  it("does not load CS, nor a register that does not exist", () => {
    const c = protectedGuest();
    for (const number of [CS, 6, 7]) expect(c.faultOf(() => loadSegment(c, number, S.code0))).toBe("6(-1)");
  });

  it("takes 32 bits of base for FS in 64-bit mode, zero-extended", () => {
    const c = longGuest();
    c.describe(S.free, 0x92, FLAT32, 0xffff_f000 | 0);
    loadSegment(c, FS, S.free);
    expect(c.getSegment(FS).base).toBe(0xffff_f000n);
  });
});

describe("a load of SS", () => {
  it.each([
    ["null", 0, 0, "13(0)"],
    ["RPL other than CPL", 0, S.data0 | 1, `13(${S.data0})`],
    ["DPL other than CPL", 0, S.data3, `13(${S.data3})`],
    ["read-only data", 0, S.readOnlyData, `13(${S.readOnlyData})`],
    ["code", 0, S.code0, `13(${S.code0})`],
    ["absent", 0, S.absentData, `12(${S.absentData})`],
    ["fit", 3, S.data3 | 3, "none"],
  ])("checks: %s", (_, cpl, selector, outcome) => {
    const c = protectedGuest(cpl);
    expect(c.faultOf(() => loadSegment(c, SS_SEGMENT, selector))).toBe(outcome);
  });

  it("takes a null selector in 64-bit mode above CPL 3 only, with RPL equal to CPL", () => {
    const kernel = longGuest(0);
    expect(kernel.faultOf(() => loadSegment(kernel, SS_SEGMENT, 3))).toBe("13(0)");
    loadSegment(kernel, SS_SEGMENT, 0);
    expect(kernel.getSegment(SS_SEGMENT).attributes).toBe(0x1_0000);
    kernel.setCpl(1);
    loadSegment(kernel, SS_SEGMENT, 1);
    expect(kernel.getSegment(SS_SEGMENT)).toMatchObject({ selector: 1, attributes: 0x1_0020 });
    const user = longGuest(3);
    expect(user.faultOf(() => loadSegment(user, SS_SEGMENT, 3))).toBe("13(0)");
    // Compatibility mode.
    kernel.setCpl(0);
    kernel.use(CS, S.code16);
    kernel.updateMode();
    expect(kernel.faultOf(() => loadSegment(kernel, SS_SEGMENT, 0))).toBe("13(0)");
  });
});

describe("a load in real and virtual-8086 mode", () => {
  it("keeps the limit and the size that protected mode left", () => {
    const c = protectedGuest();
    c.r.set("cr0", 0);
    loadSegment(c, ES, 0xb800);
    expect(c.getSegment(ES)).toEqual({ selector: 0xb800, attributes: 0xc093, limit: 0xffff_ffff, base: 0xb_8000n });
  });
  it("makes a null segment of protected mode usable again", () => {
    const c = protectedGuest();
    loadSegment(c, ES, 0);
    c.r.set("cr0", 0);
    loadSegment(c, ES, 0x1234);
    expect(c.getSegment(ES)).toEqual({ selector: 0x1234, attributes: 0x93, limit: 0xffff, base: 0x1_2340n });
  });
  it("is 64 KiB of DPL 3 in virtual-8086 mode", () => {
    const c = protectedGuest(3);
    c.setEflags(0x2_0202);
    loadSegment(c, SS_SEGMENT, 0xffff);
    expect(c.getSegment(SS_SEGMENT)).toEqual({ selector: 0xffff, attributes: 0xf3, limit: 0xffff, base: 0xf_fff0n });
  });
});

describe("LLDT and LTR", () => {
  it("load what they name; LTR marks the TSS as busy", () => {
    const c = protectedGuest();
    c.describe(S.free, 0x82, 0, 0x2_2000, 0x1f);
    loadLdtr(c, S.free);
    expect(c.getSegment(LDTR)).toEqual({ selector: S.free, attributes: 0x82, limit: 0x1f, base: 0x2_2000n });
    c.describe(S.free, 0x89, 0, TSS_BASE, 0x67);
    loadTaskRegister(c, S.free);
    expect(c.getSegment(TR)).toMatchObject({ selector: S.free, attributes: 0x8b, base: BigInt(TSS_BASE) });
    expect(c.access(S.free)).toBe(0x8b);
    // It is busy now.
    expect(c.faultOf(() => loadTaskRegister(c, S.free))).toBe(`13(${S.free})`);
  });

  it("take 16-byte descriptors in long mode", () => {
    const c = longGuest();
    const at = 0x1000 + S.free;
    c.describe(S.free, 0x89, 0, 0x8000_5000 | 0, 0x67);
    c.put(at + 8, 4, 0xffff_8000, 0);
    loadTaskRegister(c, S.free);
    expect(c.getSegment(TR).base).toBe(0xffff_8000_8000_5000n);
    c.describe(S.free, 0x82, 0, 0x5000, 0x67);
    loadLdtr(c, S.free);
    expect(c.getSegment(LDTR).base).toBe(0xffff_8000_0000_5000n);
    // A base that is not canonical, an upper half with a type, one beyond the GDT.
    c.put(at + 8, 4, 0x1234_5678);
    expect(c.faultOf(() => loadLdtr(c, S.free))).toBe(`13(${S.free})`);
    c.put(at + 8, 4, 0, 0x1200);
    expect(c.faultOf(() => loadLdtr(c, S.free))).toBe(`13(${S.free})`);
    c.put(at + 8, 4, 0, 0);
    c.r.set("gdtr.limit", S.free + 7);
    expect(c.faultOf(() => loadLdtr(c, S.free))).toBe(`13(${S.free})`);
    // 16-bit TSS do not exist here.
    c.r.set("gdtr.limit", 0xfff);
    c.describe(S.free, 0x81, 0, 0x5000, 0x67);
    expect(c.faultOf(() => loadTaskRegister(c, S.free))).toBe(`13(${S.free})`);
  });

  it("check what they are given", () => {
    const c = protectedGuest();
    expect(c.faultOf(() => loadLdtr(c, S.data0))).toBe(`13(${S.data0})`);
    expect(c.faultOf(() => loadLdtr(c, 0x0c))).toBe("13(12)");
    expect(c.faultOf(() => loadTaskRegister(c, 0))).toBe("13(0)");
    expect(c.faultOf(() => loadTaskRegister(c, S.tss))).toBe(`13(${S.tss})`);
    c.describe(S.free, 0x02);
    expect(c.faultOf(() => loadLdtr(c, S.free))).toBe(`11(${S.free})`);
    c.describe(S.free, 0x09);
    expect(c.faultOf(() => loadTaskRegister(c, S.free))).toBe(`11(${S.free})`);
    c.setCpl(3);
    expect(c.faultOf(() => loadLdtr(c, 0))).toBe("13(0)");
    c.setEflags(0x2_0202);
    expect(c.faultOf(() => loadLdtr(c, 0))).toBe("6(-1)");
  });
});
const TSS_BASE = 0x5000;

describe("LAR, LSL, VERR and VERW", () => {
  it("answer for segments the program may see", () => {
    const c = protectedGuest(3);
    c.describe(S.free, 0xf2, 0xc, 0x12_3456, 0x4_5678);
    expect(accessRights(c, S.free | 3)).toBe(0x00c4_f200);
    expect(segmentLimit(c, S.free | 3)).toBe(0x4567_8fff);
    expect(mayRead(c, S.free | 3) && mayWrite(c, S.free | 3)).toBe(true);
    expect(accessRights(c, S.data0)).toBeUndefined();
    expect(segmentLimit(c, 3)).toBeUndefined();
    expect(accessRights(c, 0x1003)).toBeUndefined();
    // Conforming code may be seen from anywhere, and read.
    expect(accessRights(c, S.conforming | 3)).toBeDefined();
    expect([mayRead(c, S.conforming), mayWrite(c, S.conforming)]).toEqual([true, false]);
  });

  it("tell what may be read and written apart", () => {
    const c = protectedGuest();
    const both = (selector: number) => [mayRead(c, selector), mayWrite(c, selector)];
    expect(both(S.data0)).toEqual([true, true]);
    expect(both(S.readOnlyData)).toEqual([true, false]);
    expect(both(S.executeOnly)).toEqual([false, false]);
    expect(both(S.code0)).toEqual([true, false]);
    expect(both(S.tss)).toEqual([false, false]);
    expect(both(S.data3 | 3)).toEqual([true, true]);
    expect(both(S.data0 | 1)).toEqual([false, false]);
  });

  // SDM vol. 2: tables "Segment and gate types" of LAR and LSL.
  it("know the system descriptors of their tables", () => {
    const valid = (c = protectedGuest()) => {
      const types = Array.from({ length: 16 }, (_, type) => type);
      const answered = (ask: (s: number) => unknown) =>
        types.filter((type) => {
          c.describe(S.free, 0x80 | type);
          return ask(S.free) !== undefined;
        });
      return [answered((s) => accessRights(c, s)), answered((s) => segmentLimit(c, s))];
    };
    expect(valid()).toEqual([
      [1, 2, 3, 4, 5, 9, 11, 12],
      [1, 2, 3, 9, 11],
    ]);
    expect(valid(longGuest())).toEqual([
      [2, 9, 11, 12],
      [2, 9, 11],
    ]);
  });

  it("are undefined in real mode", () => {
    const c = protectedGuest();
    c.r.set("cr0", 0);
    expect(c.faultOf(() => accessRights(c, S.data0))).toBe("6(-1)");
    expect(c.faultOf(() => mayRead(c, 0))).toBe("6(-1)");
  });
});
