/** Page rights, page-fault error codes, accessed and dirty bits, and what flushes the TLB (SDM vol. 3A, 4.6 to 4.10). */
import { describe, expect, it } from "vitest";
import { type Bytes, CODE, DATA, Guest, type GuestOptions, imm, PAGE_ENTRIES, PAGE_TABLES } from "./guest.ts";

const HLT = 0xf4;
const P = 1;
const W = 2;
const U = 4;
const A = 0x20;
const D = 0x40;
const G = 0x100;
const NX = 1n << 63n;
const CR0_WP = 0x1_0000;
const CR4 = { pge: 0x80, smep: 0x10_0000, smap: 0x20_0000 };
const EFER_NXE = 0x800;
const AC = 0x4_0000;
const TARGET = DATA + 0x5000;

const entryOf = (g: Guest, linear: number) => g.view.getBigUint64(PAGE_ENTRIES + (linear >> 12) * 8, true);

interface Case {
  readonly cpl: 0 | 3;
  readonly kind: "read" | "write" | "fetch";
  readonly page: bigint;
  readonly wp: boolean;
  readonly smep: boolean;
  readonly smap: boolean;
  readonly ac: boolean;
}

/** The rules of section 4.6.1: the error code, or undefined where the access is allowed. */
function expected(c: Case): number | undefined {
  const user = c.cpl === 3;
  const userPage = (c.page & BigInt(U)) !== 0n;
  const code = (user ? 4 : 0) | (c.kind === "write" ? 2 : 0) | (c.kind === "fetch" ? 16 : 0);
  if ((c.page & 1n) === 0n) return code;
  const denied = code | 1;
  if (user && !userPage) return denied;
  if (c.kind === "fetch") return (c.page & NX) !== 0n || (!user && userPage && c.smep) ? denied : undefined;
  if (!user && userPage && c.smap && !c.ac) return denied;
  if (c.kind === "write" && (c.page & BigInt(W)) === 0n && (user || c.wp)) return denied;
  return undefined;
}

/** What a guest sees of one access: its page fault's error code, and the bits the page's entry got. */
function observed(c: Case): { error: number | undefined; bits: number } {
  const g = new Guest({ cpl: c.cpl });
  g.set("efer", 0x500 | EFER_NXE);
  g.set("cr0", 0x8000_0011 | (c.wp ? CR0_WP : 0));
  g.set("cr4", 0x20 | (c.smep ? CR4.smep : 0) | (c.smap ? CR4.smap : 0));
  // What the guest itself needs belongs to whoever runs it.
  const own = c.cpl === 3 ? 7n : 3n;
  for (let page = 0; page < 0x200; page++) g.mapPage(page * 0x1000, BigInt(page * 0x1000) | own);
  g.mapPage(0x9000, 0x9003n);
  g.mapPage(TARGET, BigInt(TARGET) | c.page);
  g.load(TARGET, [0xc3]);
  g.load(CODE + 0x400, [HLT]);
  g.addFlags(c.ac ? AC : 0);
  g.cpu.flushTlb(true);
  let error: number | undefined;
  g.onTrap = (trap) => {
    if (trap.vector === 14) error = trap.error;
    g.set("rip", CODE + 0x400);
    // Back at CPL 0, where HLT halts; the page it lies on is a user page.
    g.set("cr4", 0x20);
    g.cpu.updateMode();
  };
  g.set("rdi", TARGET);
  // mov eax,[rdi]; mov [rdi],eax; call rdi
  g.run({ read: [0x8b, 0x07], write: [0xc7, 0x07, imm(0xc3)], fetch: [0xff, 0xd7] }[c.kind]);
  return { error, bits: Number(entryOf(g, TARGET) & BigInt(A | D)) };
}

describe("page rights", () => {
  const flags = [false, true];
  for (const cpl of [0, 3] as const) {
    for (const kind of ["read", "write", "fetch"] as const) {
      it(`of a ${kind} at CPL ${cpl}`, () => {
        const pages = [0n, 1n, 3n, 5n, 7n, 3n | NX, 7n | NX];
        const modes =
          cpl === 3
            ? [[false, false, false, false]]
            : flags.flatMap((wp) =>
                flags.flatMap((smep) => flags.flatMap((smap) => flags.map((ac) => [wp, smep, smap, ac]))),
              );
        for (const page of pages) {
          for (const [wp, smep, smap, ac] of modes as [boolean, boolean, boolean, boolean][]) {
            const c: Case = { cpl, kind, page, wp, smep, smap, ac };
            const error = expected(c);
            const bits = error !== undefined ? 0 : kind === "write" ? A | D : A;
            expect([page, wp, smep, smap, ac, observed(c)]).toEqual([page, wp, smep, smap, ac, { error, bits }]);
          }
        }
      });
    }
  }
});

describe("reserved bits", () => {
  const access = (options: GuestOptions, prepare: (g: Guest) => void, ...code: Bytes) => {
    const g = new Guest(options);
    g.load(CODE + 0x400, [HLT]);
    g.onTrap = () => g.set("rip", CODE + 0x400);
    prepare(g);
    return g.run(code);
  };
  const read = [0x8b, 0x04, 0x25, imm(TARGET)];
  it("of entries at every level are page faults with RSVD", () => {
    const bit51 = 1n << 51n;
    for (const level of [0, 1, 2]) {
      // The other half of the address space, so that the guest itself lives on.
      const high = (index: number) => PAGE_TABLES + level * 0x1000 + index * 8;
      const faults = access(
        {},
        (g) => {
          g.view.setBigUint64(high(1), BigInt(PAGE_TABLES + (level + 1) * 0x1000 + 7) | bit51, true);
          g.set("rbx", 1n << BigInt(39 - 9 * level));
        },
        [0x8b, 0x03],
      );
      expect(faults).toEqual(["14(9)@0"]);
    }
    expect(access({}, (g) => g.mapPage(TARGET, BigInt(TARGET + 7) | bit51), read)).toEqual(["14(9)@0"]);
  });
  it("NX is one without EFER.NXE, and the ignored bits are none", () => {
    expect(access({}, (g) => g.mapPage(TARGET, BigInt(TARGET + 7) | NX), read)).toEqual(["14(9)@0"]);
    expect(access({}, (g) => g.mapPage(TARGET, BigInt(TARGET + 7) | (0x7ffn << 52n)), read)).toEqual([]);
  });
  it("PS is one in a PML4 entry, and low address bits are in a large page", () => {
    const large = (entry: number, level: number, address: bigint) =>
      access(
        {},
        (g) => {
          g.view.setUint32(PAGE_TABLES + level * 0x1000 + 8, entry, true);
          g.set("rbx", address);
        },
        [0x8b, 0x03],
      );
    expect(large(0x87, 0, 1n << 39n)).toEqual(["14(9)@0"]);
    expect(large(0x87, 1, 1n << 30n)).toEqual([]);
    expect(large(0x2087, 1, 1n << 30n)).toEqual(["14(9)@0"]);
    expect(large(0x87, 2, 1n << 21n)).toEqual([]);
    expect(large(0x2087, 2, 1n << 21n)).toEqual(["14(9)@0"]);
    expect(large(0x1087, 2, 1n << 21n)).toEqual([]);
  });
});

describe("paging without long mode", () => {
  const TABLE = 0x10_0000;
  /** mov eax,cr0; bts eax,31; mov cr0,eax */
  const enable = [0x0f, 0x20, 0xc0, 0x0f, 0xba, 0xe8, 31, 0x0f, 0x22, 0xc0];
  const at = enable.length;
  const reads = (cr4: number, prepare: (g: Guest) => void, address: number) => {
    const g = new Guest({ mode: "flat32" });
    g.load(CODE + 0x400, [HLT]);
    g.onTrap = () => g.set("rip", CODE + 0x400);
    g.set("cr3", TABLE);
    g.set("cr4", cr4);
    prepare(g);
    return { traps: g.run(enable, 0xa1, imm(address)), g };
  };
  it("PAE: bits 52 to 62 are reserved, which 4-level paging ignores", () => {
    const page = (entry: bigint) => (g: Guest) => {
      g.view.setBigUint64(TABLE, BigInt(TABLE + 0x1001), true);
      g.view.setBigUint64(TABLE + 0x1000, 0x83n, true);
      g.view.setBigUint64(TABLE + 0x1008, entry, true);
    };
    expect(reads(0x20, page(0x83n), 0x20_0000).traps).toEqual([]);
    for (const bit of [40n, 52n, 62n, 63n]) {
      expect(reads(0x20, page(0x83n | (1n << bit)), 0x20_0000).traps).toEqual([`14(9)@${at}`]);
    }
  });
  it("32-bit: a 4 MiB page with CR4.PSE, its high address bits in 13 to 20, bit 21 reserved", () => {
    const page = (entry: number) => (g: Guest) => {
      g.view.setUint32(TABLE, 0x83, true);
      g.view.setUint32(TABLE + 4, entry, true);
    };
    expect(reads(0x10, page(0x83), 0x40_0000).g.log).toEqual([]);
    const high = reads(0x10, page(0xd000_0083 | (3 << 13)), 0x40_0010);
    expect(high.traps).toEqual([]);
    expect(high.g.log).toEqual(["read 3d0000010 4"]);
    expect(reads(0x10, page(0x20_0083), 0x40_0000).traps).toEqual([`14(9)@${at}`]);
  });
  it("32-bit: without CR4.PSE the PS bit means nothing", () => {
    const tables = (g: Guest) => {
      g.view.setUint32(TABLE, (TABLE + 0x1000) | 0x83, true);
      for (let page = 0; page < 0x200; page++) g.view.setUint32(TABLE + 0x1000 + page * 4, (page << 12) | 3, true);
      g.view.setUint32(DATA, 1234, true);
    };
    const { traps, g } = reads(0, tables, DATA);
    expect([traps, g.get("rax")]).toEqual([[], 1234]);
  });
});

describe("the TLB", () => {
  /** Reads TARGET, changes its page to another frame, does `between`, reads again. */
  const rereads = (entry: number, between: Bytes, cr4 = 0): boolean => {
    const g = new Guest();
    g.set("cr4", 0x20 | cr4);
    g.mapPage(TARGET, TARGET | entry);
    g.view.setUint32(TARGET, 1, true);
    g.view.setUint32(TARGET + 0x1000, 2, true);
    const at = PAGE_ENTRIES + (TARGET >> 12) * 8;
    const load = [0x8b, 0x04, 0x25, imm(TARGET)];
    // mov dword [entry],another frame
    const change = [0xc7, 0x04, 0x25, imm(at), imm((TARGET + 0x1000) | entry)];
    expect(g.run(load, change, between, load)).toEqual([]);
    return g.get("rax") === 2;
  };
  const PAGE = P | W | U;
  const CR3 = [0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8];
  /** mov rax,cr4; btc rax,bit; mov cr4,rax, twice */
  const toggle = (bit: number) =>
    Array.from({ length: 2 }, () => [0x0f, 0x20, 0xe0, 0x48, 0x0f, 0xba, 0xf8, bit, 0x0f, 0x22, 0xe0]);

  it("forgets a page by INVLPG, global or not", () => {
    const invlpg = [0x0f, 0x01, 0x3c, 0x25, imm(TARGET)];
    expect(rereads(PAGE, invlpg)).toBe(true);
    expect(rereads(PAGE | G, invlpg, CR4.pge)).toBe(true);
  });
  it("forgets all but global pages by a load of CR3", () => {
    expect(rereads(PAGE, CR3)).toBe(true);
    expect(rereads(PAGE | G, CR3, 0)).toBe(true);
    expect(rereads(PAGE | G, CR3, CR4.pge)).toBe(false);
  });
  it("forgets everything where CR4.PGE changes", () => {
    expect(rereads(PAGE | G, toggle(7), CR4.pge)).toBe(true);
  });
  it("forgets by INVPCID what its type says", () => {
    // mov eax,type; invpcid rax,[DATA], where the descriptor is PCID 0 and an address
    const invpcid = (type: number) => [0xb8, imm(type), 0x66, 0x0f, 0x38, 0x82, 0x04, 0x25, imm(DATA)];
    const descriptor = [0x48, 0xc7, 0x04, 0x25, imm(DATA + 8), imm(TARGET)];
    for (const type of [0, 1, 2, 3]) expect(rereads(PAGE, [descriptor, invpcid(type)])).toBe(true);
    expect(rereads(PAGE | G, [descriptor, invpcid(2)], CR4.pge)).toBe(true);
    expect(rereads(PAGE | G, [descriptor, invpcid(3)], CR4.pge)).toBe(false);
  });
});
