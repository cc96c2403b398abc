/** What the TLB keeps and forgets: large pages, PCIDs (SDM vol. 3A, 4.10), and what tells compiled code of it. */
import { describe, expect, it } from "vitest";
import { type Bytes, CODE, DATA, Guest, imm, PAGE_ENTRIES, PAGE_TABLES } from "./guest.ts";

describe("the number of a mapping of code", () => {
  /** Whether it changes while some code runs. */
  const changesBy = (...code: Bytes): boolean => {
    const g = new Guest();
    const before = g.get("codeMap");
    expect(g.run(code)).toEqual([]);
    return g.get("codeMap") !== before;
  };
  it("stays while nothing is invalidated", () => {
    // mov rax,cr3; mov rax,cr2
    expect(changesBy([0x0f, 0x20, 0xd8, 0x0f, 0x20, 0xd0])).toBe(false);
  });
  const changes: readonly [string, Bytes][] = [
    ["INVLPG of a page of code", [0x0f, 0x01, 0x3c, 0x25, imm(CODE)]],
    ["a load of CR3", [0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8]],
    // mov rax,cr4; btc rax,7; mov cr4,rax
    ["a change of CR4.PGE", [0x0f, 0x20, 0xe0, 0x48, 0x0f, 0xba, 0xf8, 7, 0x0f, 0x22, 0xe0]],
    // mov eax,1; mov dr7,rax
    ["a breakpoint", [0xb8, imm(1), 0x0f, 0x23, 0xf8]],
  ];
  for (const [what, code] of changes) {
    it(`changes by ${what}`, () => expect(changesBy(code)).toBe(true));
  }
  it("is another one at another privilege, and the old one again after it", () => {
    const g = new Guest({ cpl: 3 });
    const user = g.get("codeMap");
    const seen: number[] = [];
    g.onTrap = (trap) => {
      seen.push(g.get("codeMap"));
      // Over the instruction, with the handler's IRET.
      g.view.setUint32(g.frame(0), trap.rip + 2, true);
    };
    // ud2; jmp $
    g.load(CODE, [0x0f, 0x0b, 0xeb, 0xfe]);
    expect(g.go()).toEqual(["6@0", "runs on"]);
    expect(seen).not.toEqual([user]);
    expect(g.get("codeMap")).toBe(user);
  });
});

const HLT = 0xf4;
const UD2 = [0x0f, 0x0b];
const USER_PAGE = 7;
const TARGET = DATA + 0x5000;
const FRAMES = DATA + 0x6000;
const CR4_PCIDE = 0x2_0000;
const CR4_PAE = 0x20;
const KEEP = 1n << 63n;
/** The top tables of address spaces other than the first. */
const SPACES = 0x10_0000;

/** A guest at either privilege that reads TARGET over and over; a step comes between two reads. */
class Reader extends Guest {
  readonly seen: number[] = [];
  constructor(cpl: 0 | 3, steps: readonly ((g: Reader) => void)[]) {
    super({ cpl });
    this.set("cr4", CR4_PAE | CR4_PCIDE);
    for (let n = 0; n < 16; n++) this.view.setUint32(FRAMES + n * 0x1000, n, true);
    this.maps(0);
    this.cpu.flushTlb(true);
    let next = 0;
    this.onTrap = (trap) => {
      this.seen.push(this.get("rax"));
      this.view.setUint32(this.frame(0), next < steps.length ? CODE : trap.rip + 2, true);
      if (next < steps.length) steps[next++]!(this);
      else this.set("rip", CODE + 0x400);
    };
    this.load(CODE + 0x400, [HLT]);
    // mov eax,[TARGET]; ud2
    this.load(CODE, [0x8b, 0x04, 0x25, imm(TARGET), UD2]);
    this.go();
  }
  /** Maps TARGET to frame `n` in address space `space`; the TLB is not told. */
  maps(n: number, space = 0): void {
    const entries = space === 0 ? PAGE_ENTRIES : SPACES + space * 0x4000 + 0x3000;
    this.view.setUint32(entries + (TARGET >> 12) * 8, FRAMES + n * 0x1000 + USER_PAGE, true);
  }
  /** Makes an address space like the first, but that TARGET is frame `n`. */
  makes(space: number, n: number): void {
    const at = SPACES + space * 0x4000;
    this.cpu.ram.copyWithin(at, PAGE_TABLES, PAGE_TABLES + 0x4000);
    for (let level = 0; level < 3; level++) {
      this.view.setUint32(at + level * 0x1000, at + (level + 1) * 0x1000 + USER_PAGE, true);
    }
    this.maps(n, space);
  }
  loads(space: number, pcid: number, keep: bigint): void {
    const table = space === 0 ? PAGE_TABLES : SPACES + space * 0x4000;
    // mov cr3,rax
    this.#between(0x800, [0x0f, 0x22, 0xd8], BigInt(table + pcid) | keep);
  }
  invalidates(type: number, pcid: number, linear: number): void {
    this.view.setBigUint64(CODE + 0xa00, BigInt(pcid), true);
    this.view.setBigUint64(CODE + 0xa08, BigInt(linear), true);
    // invpcid rax,[CODE + 0xa00]
    this.#between(0x900, [0x66, 0x0f, 0x38, 0x82, 0x04, 0x25, imm(CODE + 0xa00)], BigInt(type));
  }
  /** Runs an instruction while the handler stands still. */
  #between(at: number, code: Bytes, rax: bigint): void {
    const { r } = this.cpu;
    const saved = [r.getBig("rip"), r.getBig("rax")] as const;
    this.load(CODE + at, [code, HLT]);
    r.setBig("rip", BigInt(CODE + at));
    r.setBig("rax", rax);
    r.set("activity", 0);
    expect(this.cpu.run(10)).toBe("halted");
    r.setBig("rip", saved[0]);
    r.setBig("rax", saved[1]);
  }
}

for (const cpl of [0, 3] as const) {
  describe(`PCIDs at CPL ${cpl}`, () => {
    it("have translations of their own, which a load of CR3 with bit 63 keeps", () => {
      const { seen } = new Reader(cpl, [
        (g) => {
          g.makes(1, 1);
          g.loads(1, 1, 0n);
        },
        (g) => {
          g.maps(2, 1);
          g.maps(3, 0);
          g.loads(0, 0, KEEP);
        },
        (g) => g.loads(1, 1, KEEP),
        (g) => g.loads(1, 1, 0n),
      ]);
      // A supervisor's entries are not kept, which nobody may count on.
      expect(seen).toEqual(cpl === 3 ? [0, 1, 0, 1, 2] : [0, 1, 3, 2, 2]);
    });
    it("each forget by INVPCID alone", () => {
      const steps = (type: number) =>
        [
          (g) => {
            g.makes(1, 1);
            g.loads(1, 1, 0n);
          },
          (g) => {
            g.maps(2, 1);
            g.maps(3, 0);
            g.invalidates(type, 0, TARGET);
          },
          (g) => g.loads(0, 0, KEEP),
          (g) => g.loads(1, 1, KEEP),
        ] as ((g: Reader) => void)[];
      for (const type of [0, 1])
        expect([type, new Reader(cpl, steps(type)).seen.slice(0, 4)]).toEqual([type, [0, 1, 1, 3]]);
      expect(new Reader(cpl, steps(0)).seen[4]).toBe(cpl === 3 ? 1 : 2);
      for (const type of [2, 3]) expect([type, new Reader(cpl, steps(type)).seen]).toEqual([type, [0, 1, 2, 3, 2]]);
    });
    it("do not mix where there are more of them than the TLB tells apart", () => {
      const count = 12;
      const steps = Array.from({ length: 3 * count }, (_, i) => (g: Reader) => {
        const space = 1 + (i % count);
        if (i < count) g.makes(space, space);
        g.loads(space, space, KEEP);
      });
      const { seen } = new Reader(cpl, steps);
      expect(seen.slice(1)).toEqual(steps.map((_, i) => 1 + (i % count)));
    });
  });
}

describe("INVLPG of an address in a large page", () => {
  const PS = 0x80;
  const G = 0x100;
  const CR4_PGE = 0x80;
  for (const [name, level, shift] of [
    ["2 MiB", 2, 21],
    ["1 GiB", 1, 30],
  ] as const) {
    for (const global of [0, G]) {
      it(`forgets all ${name} of it${global ? ", global" : ""}`, () => {
        const g = new Guest();
        g.set("cr4", CR4_PAE | CR4_PGE);
        // Entry 1 of its table maps RAM from 0 on; later it is the tables of the first entry, which map the frames in another order.
        const entry = PAGE_TABLES + level * 0x1000 + 8;
        const start = 1 << shift;
        g.view.setUint32(entry, PS | global | USER_PAGE, true);
        g.view.setUint32(TARGET, 1, true);
        g.view.setUint32(TARGET + 0x7000, 2, true);
        g.mapPage(TARGET, TARGET + 0x7000 + USER_PAGE);
        g.mapPage(TARGET + 0x7000, TARGET + USER_PAGE);
        g.cpu.flushTlb(true);
        const first = [0x8b, 0x04, 0x25, imm(start + TARGET)];
        const second = [0x8b, 0x1c, 0x25, imm(start + TARGET + 0x7000)];
        g.run(first, second);
        expect([g.get("rax"), g.get("rbx")]).toEqual([1, 2]);
        g.view.setUint32(entry, PAGE_TABLES + (level + 1) * 0x1000 + USER_PAGE, true);
        g.set("rip", CODE + 0x800);
        g.cpu.r.set("activity", 0);
        // invlpg [start + DATA]
        g.load(CODE + 0x800, [0x0f, 0x01, 0x3c, 0x25, imm(start + DATA), first, second, HLT]);
        g.go();
        expect([g.get("rax"), g.get("rbx")]).toEqual([2, 1]);
      });
    }
  }
});

describe("an instruction that asks beforehand whether all of its destination can be written", () => {
  /** fxsave [at]; its 512 bytes begin in one page and end in the next. */
  const SAVED = DATA + 0xf00;
  const fxsave = [0x0f, 0xae, 0x04, 0x25, imm(SAVED)];
  /** Writes to both pages. */
  const touch = [0xc6, 0x04, 0x25, imm(SAVED), 1, 0xc6, 0x04, 0x25, imm(DATA + 0x1000), 2];
  const stop = (g: Guest) => {
    g.onTrap = () => g.set("rip", CODE + 0x400);
    g.load(CODE + 0x400, [HLT]);
  };
  const written = (g: Guest) => [g.view.getUint8(SAVED), g.view.getUint8(DATA + 0x1000)];

  it("takes the answer from the TLB", () => {
    const g = new Guest();
    stop(g);
    // mov qword [entry],0: not present, which the TLB is not told
    const unmap = [0x48, 0xc7, 0x04, 0x25, imm(PAGE_ENTRIES + (DATA >> 12) * 8), imm(0)];
    // cmpxchg16b [DATA + 16] with what is there: writes RCX:RBX
    g.set("rbx", 7);
    expect(g.run(0xc6, 0x04, 0x25, imm(DATA), 1, unmap, 0x48, 0x0f, 0xc7, 0x0c, 0x25, imm(DATA + 16))).toEqual([]);
    expect(g.view.getUint32(DATA + 16, true)).toBe(7);
  });
  it("finds the end of it read-only, and has written nothing", () => {
    for (const cpl of [0, 3] as const) {
      const g = new Guest({ cpl });
      stop(g);
      g.set("cr0", g.get("cr0") | 0x1_0000);
      g.mapPage(DATA + 0x1000, DATA + 0x1000 + USER_PAGE - 2);
      g.cpu.flushTlb(true);
      // mov byte [SAVED],1; mov al,[DATA + 0x1000]: both are in the TLB then
      const known = [0xc6, 0x04, 0x25, imm(SAVED), 1, 0x8a, 0x04, 0x25, imm(DATA + 0x1000)];
      expect(g.run(known, fxsave)).toEqual([`14(${cpl === 3 ? 7 : 3})@15`]);
      expect(g.get("cr2")).toBe(DATA + 0x1000);
      expect(written(g)).toEqual([1, 0]);
    }
  });
  it("finds the start of it unmapped where the end is known", () => {
    const g = new Guest();
    stop(g);
    g.mapPage(DATA, 0);
    g.cpu.flushTlb(true);
    expect(g.run(touch.slice(5), fxsave)).toEqual(["14(2)@8"]);
    expect(g.get("cr2")).toBe(SAVED);
    expect(written(g)).toEqual([0, 2]);
  });
  it("writes both pages where both are known", () => {
    const g = new Guest();
    expect(g.run(touch, fxsave)).toEqual([]);
    // FCW as RESET# leaves it, and a byte of XMM6.
    expect(g.view.getUint16(SAVED, true)).toBe(0x40);
    expect(g.view.getUint8(DATA + 0x1000)).toBe(0);
  });
});

describe("what the TLB did not know", () => {
  const PAGES = 50;
  const FIRST = DATA;
  const at = (page: number) => FIRST + page * 0x1000;
  /** Where instructions between two rounds lie: what has run once is not written anew. */
  const BETWEEN = [0xa00, 0xc00].map((offset) => CODE + offset) as [number, number];

  /** Walks while the code at `rip` runs to its HLT. */
  const walksOf = (g: Guest, rip = CODE): number => {
    g.set("rip", rip);
    g.cpu.r.set("activity", 0);
    const before = g.cpu.r.getBig("walks");
    expect(g.go()).toEqual([]);
    return Number(g.cpu.r.getBig("walks") - before);
  };
  /** One that reads (or writes) a word of each page, its code's page known already. */
  const toucher = (opcode: number): Guest => {
    const g = new Guest();
    const touch = Array.from({ length: PAGES }, (_, page) => [opcode, 0x04, 0x25, imm(at(page))]);
    g.load(CODE, [touch, HLT]);
    g.load(CODE + 0xff0, [HLT]);
    expect(walksOf(g, CODE + 0xff0)).toBe(1);
    return g;
  };
  const READ = 0x8b;
  const WRITE = 0x89;

  it("is counted once for each page, of data and of code", () => {
    const g = toucher(READ);
    expect([walksOf(g), walksOf(g)]).toEqual([PAGES, 0]);
    // invlpg [page] of seven pages
    g.load(BETWEEN[0], [Array.from({ length: 7 }, (_, i) => [0x0f, 0x01, 0x3c, 0x25, imm(at(5 * i))]), HLT]);
    expect([walksOf(g, BETWEEN[0]), walksOf(g)]).toEqual([0, 7]);
    // All of them, and the code's: mov rax,cr3; mov cr3,rax
    g.load(BETWEEN[1], [0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8, HLT]);
    expect(walksOf(g, BETWEEN[1]) + walksOf(g)).toBe(PAGES + 1);
    expect(walksOf(g)).toBe(0);
  });

  it("includes the first store to a page that was only read, and not what ends in a page fault", () => {
    const g = toucher(WRITE);
    g.load(BETWEEN[0], [Array.from({ length: PAGES }, (_, page) => [READ, 0x04, 0x25, imm(at(page))]), HLT]);
    expect([walksOf(g, BETWEEN[0]), walksOf(g), walksOf(g)]).toEqual([PAGES, PAGES, 0]);

    /** Walks until the handler of the exception that this raises stands still. */
    const until = (vector: number, code: Bytes): number => {
      const faulting = new Guest();
      faulting.mapPage(at(3), 0);
      let seen = 0n;
      faulting.onTrap = () => {
        seen = faulting.cpu.r.getBig("walks");
        faulting.mapPage(at(3), at(3) + USER_PAGE);
        faulting.set("rcx", 0x10);
      };
      expect(faulting.run(code)).toEqual([`${vector}(0)@0`]);
      return Number(seen);
    };
    // RDMSR of none, and a read of a page that is not there: the CPU's own accesses to deliver these are the same.
    const rdmsr = 13;
    const missing = 14;
    expect(until(missing, [READ, 0x04, 0x25, imm(at(3))])).toBe(until(rdmsr, [0x0f, 0x32]));
  });

  it("goes on counting when the machine is reset", () => {
    const g = toucher(READ);
    const before = g.cpu.r.getBig("walks");
    g.cpu.reset();
    expect(g.cpu.r.getBig("walks")).toBe(before);
  });
});
