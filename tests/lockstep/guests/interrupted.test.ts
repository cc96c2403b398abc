/** Interrupts into hot code: taken soon, never where they are held off, and without a trace in what the code computes. */
import { describe, expect, it } from "vitest";
import { DATA, imm } from "../../system/guest.ts";
import { type Assembler, CC, RAX, RCX, RDX } from "../assembler.ts";
import { HotGuest, PASSES, sum } from "../machine.ts";

const VECTOR = 0x40;
/** inc dword [DATA]; iretq */
const COUNT = [0xff, 0x04, 0x25, imm(DATA), 0x48, 0xcf];
/** Instructions by which a run may exceed its budget, whatever the code. */
const OVERSHOOT = 1000;
const LONG = 5000;

/** A guest that takes an interrupt after every `piece` instructions. Returns how many were raised. */
function interrupted(g: HotGuest, piece: number, vectorOf: (n: number) => number = () => VECTOR): number {
  let raised = 0;
  g.finish(piece, () => {
    if (g.interrupt >= 0) return;
    g.interrupt = vectorOf(raised++);
    g.cpu.requestAttention();
  });
  return raised - (g.interrupt >= 0 ? 1 : 0);
}

const LOOPS: [string, (a: Assembler) => void, number][] = [
  ["a tight loop", (a) => a.label("loop").db(0x48, 0x01, 0xcb).again("loop"), sum(LONG, (n) => n)],
  [
    "a loop that keeps a carry over its end",
    // add rax,rax with a rotating bit; adc rbx,0
    (a) => a.mov(RAX, 0x8000_0001_8000_0001n).label("loop").db(0x48, 0xd1, 0xc0, 0x48, 0x83, 0xd3, 0).again("loop"),
    Math.floor(LONG / 64) * 4 +
      Array.from({ length: LONG % 64 }, (_, i) => [0, 31, 32, 63].includes(i)).filter(Boolean).length,
  ],
  [
    "a loop with memory, a call and a return",
    (a) =>
      a.jmp("loop").label("f").db(0x48, 0x01, 0x4a, 8, 0x48, 0x8b, 0x5a, 8, 0xc3).label("loop").call("f").again("loop"),
    sum(LONG, (n) => n),
  ],
  [
    "a loop with two ways in",
    // test cl,1; jz; nop; add rbx,rcx
    (a) =>
      a.db(0xf6, 0xc1, 1).jcc(CC.z, "middle").label("loop").db(0x90).label("middle").db(0x48, 0x01, 0xcb).again("loop"),
    sum(LONG, (n) => n),
  ],
  [
    "a loop in floating point",
    // cvtsi2sd xmm0,ecx; addsd xmm1,xmm0; cvttsd2si rbx,xmm1
    (a) =>
      a.label("loop").db(0xf2, 0x0f, 0x2a, 0xc1, 0xf2, 0x0f, 0x58, 0xc8, 0xf2, 0x48, 0x0f, 0x2c, 0xd9).again("loop"),
    sum(LONG, (n) => n),
  ],
];

describe("interrupts into", () => {
  it.each(LOOPS)("%s", (_, loop, expected) => {
    for (const piece of [1, 137]) {
      const g = new HotGuest();
      g.set("cr4", g.get("cr4") | 0x600);
      g.cpu.updateMode();
      g.handle(VECTOR, (a) => a.db(COUNT));
      g.assemble((a) => {
        loop(
          a
            .db(0xfb)
            .mov(RCX, LONG)
            .mov(RDX, DATA + 64),
        );
        // The last interrupt is not taken.
        a.db(0xfa).hlt();
      });
      // Single instructions take too long to be done to the end.
      if (piece === 1) {
        for (let i = 0; i < 300; i++) {
          g.cpu.run(1);
          g.interrupt = VECTOR;
          g.cpu.requestAttention();
        }
        g.interrupt = -1;
      }
      const before = g.word(DATA);
      const raised = interrupted(g, Math.max(piece, 61));
      expect([piece, g.get("rbx"), g.word(DATA) - before]).toEqual([piece, expected, raised]);
    }
  });

  it("a loop that never ends, which is left in time", () => {
    for (const code of [
      [0xeb, 0xfe],
      [0x90, 0xff, 0xc3, 0xeb, 0xfb],
      [0xe2, 0xfe, 0xeb, 0xfc],
      // Two ways in.
      [0xff, 0xca, 0x74, 0x01, 0x90, 0xff, 0xc3, 0x75, 0xfb, 0xeb, 0xf5],
    ]) {
      const g = new HotGuest();
      g.assemble((a) => a.db(code));
      for (const budget of [1, 10, 1000, 50_000]) {
        const before = g.cpu.instructions;
        expect(g.cpu.run(budget)).toBe("running");
        const ran = g.cpu.instructions - before;
        expect(ran).toBeGreaterThanOrEqual(budget);
        expect(ran).toBeLessThan(budget + OVERSHOOT);
      }
    }
  });

  it("a loop that waits for what the handler changes", () => {
    const g = new HotGuest();
    g.handle(VECTOR, (a) => a.db(COUNT));
    // sti; loop: cmp dword [DATA],5; jne loop
    g.assemble((a) => {
      a.db(0xfb).label("loop").db(0x83, 0x3c, 0x25, imm(DATA), 5).jcc(CC.nz, "loop").hlt();
    });
    expect(interrupted(g, 1000)).toBe(5);
  });

  it("a loop whose handler changes its counter's memory and registers of the frame", () => {
    const g = new HotGuest();
    // The handler sets the carry of the interrupted code, whose loop is `jnc`: or byte [rsp+16],1; iretq
    g.handle(VECTOR, (a) => a.db(0x80, 0x4c, 0x24, 16, 1, 0x48, 0xcf));
    g.assemble((a) => {
      a.db(0xfb)
        .mov(RAX, 5)
        .label("loop")
        .jcc(CC.ae, "loop")
        .db(0xf8, 0x48, 0xff, 0xc3, 0x48, 0xff, 0xc8)
        .jcc(CC.nz, "loop")
        .hlt();
    });
    g.cpu.setEflags(2);
    g.finish(700, () => {
      g.interrupt = VECTOR;
      g.cpu.requestAttention();
    });
    expect(g.get("rbx")).toBe(5);
  });
});

describe("interrupts that are held off", () => {
  it("between CLI and STI", () => {
    const g = new HotGuest();
    // The handler: what [DATA+4] says is added to [DATA+8].
    g.handle(VECTOR, (a) => {
      a.db(0x50, 0x8b, 0x04, 0x25, imm(DATA + 4), 0x01, 0x04, 0x25, imm(DATA + 8), 0x58, COUNT);
    });
    g.assemble((a) => {
      // loop: cli; mov dword [DATA+4],1; add rbx,rcx; mov dword [DATA+4],0; sti; nop
      a.mov(RCX, 5 * PASSES)
        .label("loop")
        .db(0xfa, 0xc7, 0x04, 0x25, imm(DATA + 4), imm(1), 0x48, 0x01, 0xcb);
      a.db(0xc7, 0x04, 0x25, imm(DATA + 4), imm(0), 0xfb, 0x90)
        .again("loop")
        .hlt();
    });
    const raised = interrupted(g, 37);
    expect([g.get("rbx"), g.word(DATA), g.word(DATA + 8)]).toEqual([sum(5 * PASSES, (n) => n), raised, 0]);
    expect(raised).toBeGreaterThan(100);
  });

  it("by POPF, and let in by it", () => {
    const g = new HotGuest();
    g.handle(VECTOR, (a) => {
      a.db(0x50, 0x8b, 0x04, 0x25, imm(DATA + 4), 0x01, 0x04, 0x25, imm(DATA + 8), 0x58, COUNT);
    });
    g.assemble((a) => {
      // loop: pushf; cli; flag on; add; flag off; popf
      a.db(0xfb)
        .mov(RCX, 3 * PASSES)
        .label("loop")
        .db(0x9c, 0xfa, 0xc7, 0x04, 0x25, imm(DATA + 4), imm(1));
      a.db(0x48, 0x01, 0xcb, 0xc7, 0x04, 0x25, imm(DATA + 4), imm(0), 0x9d)
        .again("loop")
        .hlt();
    });
    const raised = interrupted(g, 41);
    expect([g.get("rbx"), g.word(DATA), g.word(DATA + 8)]).toEqual([sum(3 * PASSES, (n) => n), raised, 0]);
  });

  it("for one instruction after STI, also in a loop that never lets them in for longer", () => {
    const g = new HotGuest();
    // The handler keeps where it came: mov rax,[rsp]; mov [DATA+8],rax
    g.handle(VECTOR, (a) => a.db(0x50, 0x48, 0x8b, 0x44, 0x24, 8, 0x48, 0x89, 0x04, 0x25, imm(DATA + 8), 0x58, COUNT));
    const a = g.assemble((asm) => {
      asm
        .mov(RCX, 2 * PASSES)
        .label("loop")
        .db(0xfb, 0x90)
        .label("here")
        .db(0xfa)
        .again("loop")
        .hlt();
    });
    g.finish(29, () => {
      if (g.interrupt >= 0) return;
      if (g.word(DATA) > 0) expect([a.at("here"), a.at("here") - 1]).toContain(g.word(DATA + 8));
      g.interrupt = VECTOR;
      g.cpu.requestAttention();
    });
    expect(g.word(DATA)).toBeGreaterThan(20);
  });

  it("in a handler, until its IRET", () => {
    const g = new HotGuest();
    // Two vectors count in and out; one in the other shows as 2.
    const handler = (a: Assembler) => {
      // inc dword [DATA+4]; mov eax,[DATA+4]; or [DATA+8],eax; dec dword [DATA+4]
      a.db(0x50, 0xff, 0x04, 0x25, imm(DATA + 4), 0x8b, 0x04, 0x25, imm(DATA + 4));
      a.db(0x09, 0x04, 0x25, imm(DATA + 8), 0xff, 0x0c, 0x25, imm(DATA + 4), 0x58, COUNT);
    };
    g.handle(VECTOR, handler);
    g.handle(VECTOR + 1, handler);
    g.assemble((a) => a.db(0xfb).mov(RCX, LONG).label("loop").db(0x48, 0x01, 0xcb).again("loop").db(0xfa).hlt());
    const raised = interrupted(g, 13, (n) => VECTOR + (n & 1));
    expect([g.get("rbx"), g.word(DATA), g.word(DATA + 8)]).toEqual([sum(LONG, (n) => n), raised, 1]);
  });
});

describe("HLT in a hot loop", () => {
  it("waits, and goes on behind itself", () => {
    const g = new HotGuest();
    g.handle(VECTOR, (a) => a.db(COUNT));
    g.assemble((a) => {
      a.mov(RCX, PASSES).label("loop").db(0xfb, 0xf4, 0x48, 0x01, 0xcb).again("loop").db(0xfa, 0xf4);
    });
    let halts = 0;
    while (g.cpu.run(10_000) === "halted" && g.get("rcx") !== 0 && halts <= PASSES) {
      halts++;
      g.interrupt = VECTOR;
      g.cpu.requestAttention();
    }
    expect([halts, g.get("rbx"), g.word(DATA)]).toEqual([PASSES, sum(PASSES, (n) => n), PASSES]);
  });

  it("is ended by an NMI, whatever IF says", () => {
    const g = new HotGuest();
    g.handle(2, (a) => a.db(COUNT));
    g.assemble((a) =>
      a.mov(RCX, 100).db(0xfa).label("loop").db(0xf4, 0x48, 0x01, 0xcb).again("loop").jmp("end").label("end").hlt(),
    );
    let halts = 0;
    while (g.cpu.run(10_000) === "halted" && g.get("rcx") !== 0 && halts <= 100) {
      halts++;
      g.nmi = true;
      g.cpu.requestAttention();
    }
    expect([halts, g.get("rbx"), g.word(DATA)]).toEqual([100, sum(100, (n) => n), 100]);
  });
});

describe("ports and device memory in a hot loop", () => {
  it("are accessed once a pass, in order, and may raise interrupts at once", () => {
    const g = new HotGuest();
    const WINDOW = 0x10_0000;
    g.mapPage(WINDOW, 0xd000_0007n);
    g.handle(VECTOR, (a) => a.db(COUNT));
    g.onOut = () => {
      g.interrupt = VECTOR;
      g.cpu.requestAttention();
    };
    g.assemble((a) => {
      // in al,80h; mov [rdx],ecx; out 81h,al; mov eax,[DATA]; add rbx,rax
      a.db(0xfb).mov(RCX, PASSES).mov(RDX, WINDOW).label("loop").db(0xe4, 0x80, 0x89, 0x0a, 0xe6, 0x81);
      a.db(0x8b, 0x04, 0x25, imm(DATA), 0x48, 0x01, 0xc3).again("loop").db(0xfa).hlt();
    });
    g.finish();
    // The interrupt of a pass has come before its read of the counter.
    expect([g.get("rbx"), g.word(DATA)]).toEqual([sum(PASSES, (n) => n), PASSES]);
    expect(g.log).toHaveLength(3 * PASSES);
    expect(g.log.slice(-3)).toEqual(["in 80 1", "write d0000000 4 1", "out 81 1 55"]);
  });
});
