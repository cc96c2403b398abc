/** AVX as a system sees it: what switches it on, its state saved and restored, its accesses across pages and devices. */
import { describe, expect, it } from "vitest";
import { FIELDS } from "../../src/cpu/state.ts";
import { type Bytes, CODE, DATA, Guest, type GuestOptions, imm, PAGE_ENTRIES } from "./guest.ts";

const HLT = 0xf4;
const OUT = CODE + 0x400;
const CR0_TS = 8;
const CR0_EM = 4;
const CR4_OSXSAVE = 0x4_0000;
const CR4_SSE = 0x600;
const XSTATE = { x87: 1, sse: 2, avx: 4 };
const ALL = XSTATE.x87 | XSTATE.sse | XSTATE.avx;
const AVX_OFFSET = 576;

/** A guest with AVX switched on, whose first trap ends at a HLT. */
function guest(options: GuestOptions = {}): Guest {
  const g = new Guest(options);
  g.load(OUT, [HLT]);
  g.onTrap = () => {
    g.set("rip", OUT);
  };
  g.set("cr4", g.get("cr4") | CR4_OSXSAVE | CR4_SSE);
  g.set("xcr0", ALL);
  g.set("mxcsr", 0x1f80);
  g.set("rdi", DATA);
  g.cpu.updateMode();
  return g;
}

let place = CODE;
/** Runs code to its HLT, each time in a page of its own; traps are told relative to it. */
function run(g: Guest, ...code: Bytes): string[] {
  place = place + 0x1000 < DATA ? place + 0x1000 : CODE + 0x1000;
  g.load(place, [code, HLT]);
  g.set("rip", place);
  g.set("activity", 0);
  g.cpu.updateMode();
  return g.go().map((trap) => trap.replace(/@(\d+)$/, (_, at) => `@${Number(at) - (place - CODE)}`));
}

/** The bytes of a YMM register. */
const ymm = (g: Guest, n: number): Uint8Array => g.cpu.save().fields[`ymm${n}`] as Uint8Array;
function setYmm(g: Guest, n: number, byte: (i: number) => number): void {
  const saved = g.cpu.save();
  g.cpu.restore({
    ...saved,
    fields: { ...saved.fields, [`ymm${n}`]: Uint8Array.from({ length: 32 }, (_, i) => byte(i)) },
  });
}
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const repeated = (byte: string, count: number) => byte.repeat(count);

const VADDPS = [0xc5, 0xf4, 0x58, 0xc2];
const VZEROUPPER = [0xc5, 0xf8, 0x77];
const VPADDD_128 = [0xc5, 0xf1, 0xfe, 0xc2];
const ANDN = [0xc4, 0xe2, 0x78, 0xf2, 0xc1];
const VMOVUPS_STORE = [0xc5, 0xfc, 0x11, 0x07];
const VMOVUPS_LOAD = [0xc5, 0xfc, 0x10, 0x07];
const XSETBV = [0x0f, 0x01, 0xd1];

describe("AVX is switched on", () => {
  const trap = (prepare: (g: Guest) => void, ...code: Bytes) => {
    const g = guest();
    prepare(g);
    return run(g, code);
  };

  it("by CR4.OSXSAVE and XCR0 (SDM vol. 2, 2.4)", () => {
    for (const code of [VADDPS, VZEROUPPER, VPADDD_128]) {
      expect(trap(() => undefined, code)).toEqual([]);
      expect(trap((g) => g.set("cr4", g.get("cr4") & ~CR4_OSXSAVE), code)).toEqual(["6@0"]);
      for (const xcr0 of [1, 3]) expect(trap((g) => g.set("xcr0", xcr0), code)).toEqual(["6@0"]);
    }
  });
  it("and traps while CR0.TS is set, but not for CR0.EM", () => {
    expect(trap((g) => g.set("cr0", g.get("cr0") | CR0_TS), VADDPS)).toEqual(["7@0"]);
    expect(trap((g) => [g.set("cr0", g.get("cr0") | CR0_TS), g.set("xcr0", 1)], VADDPS)).toEqual(["6@0"]);
    expect(trap((g) => g.set("cr0", g.get("cr0") | CR0_EM), VADDPS)).toEqual([]);
  });
  it("which VEX instructions on general registers do not ask for", () => {
    expect(trap((g) => g.set("cr4", g.get("cr4") & ~CR4_OSXSAVE), ANDN)).toEqual([]);
  });
  it("on models that have it", () => {
    const g = guest({ model: "x86-64-v2" });
    expect(run(g, VADDPS)).toEqual(["6@0"]);
  });

  it("by XSETBV, in combinations that the manual allows (SDM vol. 3A, 2.6)", () => {
    const setting = (low: number, high = 0, number = 0, options: GuestOptions = {}) => {
      const g = guest(options);
      g.set("xcr0", 1);
      g.set("rax", low);
      g.set("rdx", high);
      g.set("rcx", number);
      const traps = run(g, XSETBV, VADDPS);
      return traps.length ? traps.join() : `${g.get("xcr0")}`;
    };
    expect(setting(7)).toBe("7");
    // Without AVX's state the instruction behind it is #UD.
    expect(setting(1)).toBe("6@3");
    expect(setting(3)).toBe("6@3");
    for (const value of [0, 2, 4, 5, 6, 8, 0xf]) expect(setting(value)).toBe("13(0)@0");
    expect(setting(7, 1)).toBe("13(0)@0");
    expect(setting(7, 0, 1)).toBe("13(0)@0");
    expect(setting(7, 0, 0, { cpl: 3 })).toBe("13(0)@0");
  });

  it("and CPUID says how large its state is", () => {
    const leaf = (subleaf: number, xcr0: number) => {
      const g = guest();
      g.set("rax", 0xd);
      g.set("rcx", subleaf);
      g.set("xcr0", xcr0);
      run(g, 0x0f, 0xa2);
      return ["rax", "rbx", "rcx", "rdx"].map((name) => g.get(name));
    };
    expect(leaf(0, 3)).toEqual([7, 576, 832, 0]);
    expect(leaf(0, 7)).toEqual([7, 832, 832, 0]);
    expect(leaf(1, 7)).toEqual([1, 0, 0, 0]);
    expect(leaf(2, 7)).toEqual([256, 576, 0, 0]);
    expect(leaf(3, 7)).toEqual([0, 0, 0, 0]);
  });
});

describe("the upper halves", () => {
  const filled = (options: GuestOptions = {}) => {
    const g = guest(options);
    for (let n = 0; n < 16; n++) setYmm(g, n, (i) => (n << 4) | (i & 15));
    return g;
  };
  const upper = (g: Guest, n: number) => hex(ymm(g, n).subarray(16));
  const zero = repeated("00", 16);

  it("stay under SSE and are zeroed by VEX.128", () => {
    const g = filled();
    const before = upper(g, 0);
    expect(run(g, 0x0f, 0x58, 0xc1, 0x66, 0x0f, 0xef, 0xc0)).toEqual([]);
    expect(upper(g, 0)).toBe(before);
    expect(run(g, VPADDD_128)).toEqual([]);
    expect(upper(g, 0)).toBe(zero);
    expect(upper(g, 1)).not.toBe(zero);
  });
  it.each([
    ["long64", 16],
    ["flat32", 8],
  ] as const)("are zeroed by VZEROUPPER as far as the mode has registers (%s)", (mode, count) => {
    const g = filled({ mode });
    expect(run(g, VZEROUPPER)).toEqual([]);
    for (let n = 0; n < 16; n++) expect(upper(g, n) === zero).toBe(n < count);
    expect(hex(ymm(g, 0).subarray(0, 16))).not.toBe(zero);
    // VZEROALL
    expect(run(g, 0xc5, 0xfc, 0x77)).toEqual([]);
    for (let n = 1; n < 16; n++) expect(hex(ymm(g, n).subarray(0, 16)) === zero).toBe(n < count);
  });

  const xsave = (g: Guest, modrm: number, components: number) => {
    g.set("rax", components);
    g.set("rdx", 0);
    return run(g, 0x0f, 0xae, modrm);
  };
  const present = (g: Guest) => g.view.getUint32(DATA + 512, true);
  const area = (g: Guest, n: number) =>
    hex(g.cpu.ram.subarray(DATA + AVX_OFFSET + 16 * n, DATA + AVX_OFFSET + 16 * n + 16));

  it("are XSAVE's component 2, at its offset", () => {
    const g = filled();
    expect(xsave(g, 0x27, ALL)).toEqual([]);
    expect(present(g)).toBe(ALL);
    for (let n = 0; n < 16; n++) expect(area(g, n)).toBe(upper(g, n));
    const saved = Array.from({ length: 16 }, (_, n) => upper(g, n));
    for (let n = 0; n < 16; n++) setYmm(g, n, () => 0x77);
    // XRSTOR
    expect(xsave(g, 0x2f, XSTATE.avx)).toEqual([]);
    expect(Array.from({ length: 16 }, (_, n) => upper(g, n))).toEqual(saved);
    expect(hex(ymm(g, 3).subarray(0, 16))).toBe(repeated("77", 16));
  });
  it("are in their initial state where XSTATE_BV says so", () => {
    const g = filled();
    expect(xsave(g, 0x2f, ALL)).toEqual([]);
    for (let n = 0; n < 16; n++) expect(hex(ymm(g, n))).toBe(repeated("00", 32));
  });
  it("are not in use where they are zero: XSAVEOPT leaves the area alone", () => {
    const g = filled();
    run(g, VZEROUPPER);
    g.cpu.ram.fill(0x55, DATA + AVX_OFFSET, DATA + AVX_OFFSET + 256);
    g.view.setUint32(DATA + 512, ALL, true);
    expect(xsave(g, 0x37, XSTATE.avx)).toEqual([]);
    expect(present(g)).toBe(XSTATE.x87 | XSTATE.sse);
    expect(area(g, 0)).toBe(repeated("55", 16));
    // XSAVE writes it all the same.
    expect(xsave(g, 0x27, XSTATE.avx)).toEqual([]);
    expect(present(g)).toBe(XSTATE.x87 | XSTATE.sse);
    expect(area(g, 0)).toBe(zero);
  });
  it("belong to a snapshot", () => {
    expect(FIELDS.get("ymm5")).toMatchObject({ type: "v256", part: "architectural" });
    const g = filled();
    const other = guest();
    other.cpu.restore(structuredClone(g.cpu.save()));
    expect(hex(ymm(other, 5))).toBe(hex(ymm(g, 5)));
  });
});

describe("an access of 32 bytes", () => {
  const pattern = (g: Guest) => setYmm(g, 0, (i) => i + 1);
  const expected = Buffer.from(Array.from({ length: 32 }, (_, i) => i + 1)).toString("hex");
  const edge = DATA + 0x1000 - 7;

  it("crosses pages", () => {
    const g = guest();
    pattern(g);
    g.set("rdi", edge);
    expect(run(g, VMOVUPS_STORE)).toEqual([]);
    expect(hex(g.cpu.ram.subarray(edge, edge + 32))).toBe(expected);
    setYmm(g, 0, () => 0);
    expect(run(g, VMOVUPS_LOAD)).toEqual([]);
    expect(hex(ymm(g, 0))).toBe(expected);
  });
  it.each([7, 16, 20])("writes nothing where its second page is missing, from %i bytes before it", (before) => {
    const g = guest();
    pattern(g);
    g.mapPage(DATA + 0x1000, 0);
    g.cpu.flushTlb(true);
    g.set("rdi", DATA + 0x1000 - before);
    expect(run(g, VMOVUPS_STORE)).toEqual(["14(2)@0"]);
    expect(g.get("cr2")).toBe(DATA + 0x1000);
    expect(hex(g.cpu.ram.subarray(DATA + 0x1000 - before, DATA + 0x1000))).toBe(repeated("00", before));
    expect(run(g, VMOVUPS_LOAD)).toEqual(["14(0)@0"]);
    expect(hex(ymm(g, 0))).toBe(expected);
  });
  it("reaches a device four bytes at a time", () => {
    const g = guest();
    pattern(g);
    g.view.setBigUint64(PAGE_ENTRIES + (DATA / 4096) * 8, 0xfed0_0007n, true);
    g.cpu.flushTlb(true);
    expect(run(g, VMOVUPS_STORE)).toEqual([]);
    expect(g.log).toEqual(
      Array.from({ length: 8 }, (_, i) => {
        const value = [4, 3, 2, 1].map((k) => (4 * i + k).toString(16).padStart(2, "0")).join("");
        return `write ${(0xfed0_0000 + 4 * i).toString(16)} 4 ${Number.parseInt(value, 16).toString(16)}`;
      }),
    );
    expect(run(g, VMOVUPS_LOAD)).toEqual([]);
    expect(hex(ymm(g, 0))).toBe(repeated("11223344", 8));
  });
  it("wants to be aligned only where the instruction says so", () => {
    const g = guest();
    g.set("rdi", DATA + 16);
    // vmovaps [rdi],ymm0; vmovaps [rdi],xmm0
    expect(run(g, [0xc5, 0xf8, 0x29, 0x07], [0xc5, 0xfc, 0x29, 0x07])).toEqual(["13(0)@4"]);
    // vaddps ymm0,ymm1,[rdi+1]
    expect(run(g, 0xc5, 0xf4, 0x58, 0x47, 1)).toEqual([]);
  });
});

describe("a gather", () => {
  it("goes on after a fault with the elements that are left", () => {
    const g = guest();
    g.onTrap = () => {
      expect(g.get("cr2")).toBe(DATA + 0x2000);
      expect(hex(ymm(g, 2))).toBe(`${repeated("00", 8)}${repeated("ff", 24)}`);
      g.mapPage(DATA + 0x2000, DATA + 0x2007);
    };
    g.mapPage(DATA + 0x2000, 0);
    g.cpu.flushTlb(true);
    const indices = [0, 0x400, 0x800, 1, 2, 3, 4, 5];
    for (const index of indices) g.view.setUint32(DATA + 4 * index, 0xabcd_0000 + index, true);
    const index = indices.flatMap((n) => imm(n));
    setYmm(g, 1, (i) => index[i]!);
    setYmm(g, 2, () => 0xff);
    // vpgatherdd ymm0,[rdi+ymm1*4],ymm2
    const code = [0xc4, 0xe2, 0x6d, 0x90, 0x04, 0x8f];
    expect(run(g, code)).toEqual(["14(0)@0"]);
    const result = ymm(g, 0);
    const lanes = indices.map((_, i) => new DataView(result.buffer, result.byteOffset).getUint32(4 * i, true));
    expect(lanes).toEqual(indices.map((n) => 0xabcd_0000 + n));
    expect(hex(ymm(g, 2))).toBe(repeated("00", 32));
  });
});
