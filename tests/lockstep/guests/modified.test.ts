/** Code that changes while it runs (SDM vol. 3A, 8.1.3): an engine that has compiled it must notice, at the very next instruction. */
import { describe, expect, it } from "vitest";
import { CODE, DATA, imm } from "../../system/guest.ts";
import { type Assembler, CC, RCX, RDX, RSI } from "../assembler.ts";
import { HotGuest, PASSES, sum } from "../machine.ts";

const PAGE = 0x1000;
/** mov eax,imm32, its immediate labelled; add rbx,rax */
const patched = (a: Assembler, name = "value") => a.db(0xb8).label(name).db(imm(0)).db(0x48, 0x01, 0xc3);
/** mov [rdx],ecx */
const STORE = [0x89, 0x0a];
const low = (n: number) => n & 0xff;

describe("code that is stored to", () => {
  it("by the block it is in, ahead of the store", () => {
    const g = new HotGuest();
    g.hot((a) => {
      a.mov(RCX, PASSES).mov(RDX, "value").label("loop").db(STORE);
      patched(a).again("loop");
    });
    expect(g.get("rbx")).toBe(sum(PASSES, (n) => n));
  });

  it("by the block it is in, behind the store", () => {
    const g = new HotGuest();
    g.hot((a) => {
      a.mov(RCX, PASSES).mov(RDX, "value").label("loop");
      patched(a).db(STORE).again("loop");
    });
    expect(g.get("rbx")).toBe(sum(PASSES, (n) => n) - 1);
  });

  it("by another block of the loop", () => {
    const g = new HotGuest();
    g.hot((a) => {
      a.mov(RCX, PASSES).mov(RDX, "value").label("loop");
      // Every fourth pass stores.
      a.db(0xf6, 0xc1, 3).jcc(CC.nz, "skip").db(STORE).label("skip").db(0x90).jmp("later").label("later");
      patched(a).again("loop");
    });
    expect(g.get("rbx")).toBe(sum(PASSES, (n) => Math.ceil(n / 4) * 4));
  });

  it("by a subroutine, in its caller", () => {
    const g = new HotGuest();
    g.hot((a) => {
      a.mov(RCX, PASSES).mov(RDX, "value").jmp("loop");
      a.label("store").db(STORE).db(0xc3);
      a.label("loop").call("store");
      patched(a).again("loop");
    });
    expect(g.get("rbx")).toBe(sum(PASSES, (n) => n));
  });

  it("once, after many passes", () => {
    const g = new HotGuest();
    g.hot((a) => {
      a.mov(RCX, PASSES).mov(RDX, "value").label("loop");
      a.db(0x81, 0xf9, imm(PASSES / 2))
        .jcc(CC.nz, "skip")
        .db(STORE)
        .label("skip");
      patched(a).again("loop");
    });
    expect(g.get("rbx")).toBe((PASSES / 2) * (PASSES / 2));
  });

  it.each([1, 2, 3, 4])("where it lies across two pages, %i bytes of it on the first", (first) => {
    const g = new HotGuest();
    g.hot((a) => {
      a.mov(RCX, PASSES).mov(RDX, "value").jmp("loop");
      a.align(CODE + PAGE - first - 20)
        .label("loop")
        .db(STORE)
        .align(CODE + PAGE - first);
      patched(a).again("loop");
    });
    expect(g.get("rbx")).toBe(sum(PASSES, (n) => n));
  });

  it("on the next page alone, in the part of an instruction that lies there", () => {
    const g = new HotGuest();
    g.hot((a) => {
      // mov byte [rdx+3],cl: the immediate's highest byte
      a.mov(RCX, 100).mov(RDX, "value").jmp("loop");
      a.align(CODE + PAGE - 24)
        .label("loop")
        .db(0x88, 0x4a, 3)
        .align(CODE + PAGE - 3);
      patched(a).again("loop");
    });
    expect(g.get("rbx")).toBe(sum(100, (n) => n * 0x100_0000));
  });

  it("through another mapping of its page", () => {
    const g = new HotGuest();
    const ALIAS = 0x10_0000;
    g.mapPage(ALIAS, CODE | 7);
    const value = ALIAS + 0x800;
    g.hot((a) => {
      a.mov(RCX, PASSES)
        .mov(RDX, value + 1)
        .jmp("loop")
        .align(CODE + 0x7f0);
      a.label("loop")
        .db(STORE)
        .align(CODE + 0x800);
      patched(a).again("loop");
    });
    expect(g.get("rbx")).toBe(sum(PASSES, (n) => n));
  });

  it("by stores of all sizes, by pushes, exchanges and string instructions", () => {
    const stores: [string, number[], (n: number) => number][] = [
      ["mov [rdx],cl", [0x88, 0x0a], low],
      ["mov [rdx],cx", [0x66, 0x89, 0x0a], (n) => n],
      ["xchg [rdx],esi after mov esi,ecx", [0x89, 0xce, 0x87, 0x32], (n) => n],
      ["lock xadd with what makes it n", [0x89, 0xce, 0x2b, 0x32, 0xf0, 0x0f, 0xc1, 0x32], (n) => n],
      ["lea rsp,[rdx+2]; push cx", [0x48, 0x8d, 0x62, 2, 0x66, 0x51], (n) => n],
      ["mov eax,ecx; mov rdi,rdx; stosd", [0x89, 0xc8, 0x48, 0x89, 0xd7, 0xab], (n) => n],
      ["movd xmm0,ecx; movd [rdx],xmm0", [0x66, 0x0f, 0x6e, 0xc1, 0x66, 0x0f, 0x7e, 0x02], (n) => n],
      ["inc dword [rdx]", [0xff, 0x02], (n) => PASSES + 1 - n],
    ];
    for (const [name, store, value] of stores) {
      const g = new HotGuest();
      g.set("cr4", g.get("cr4") | 0x600);
      g.cpu.updateMode();
      g.hot((a) => {
        a.mov(RCX, PASSES).mov(RDX, "value").label("loop").db(store);
        patched(a).again("loop");
      });
      expect([name, g.get("rbx")]).toEqual([name, sum(PASSES, value)]);
    }
  });

  it("by REP MOVSB over whole instructions", () => {
    const g = new HotGuest();
    // Two bodies, each eight bytes: add rbx,1; and add rbx,3.
    g.load(DATA, [0x48, 0x83, 0xc3, 1, 0x0f, 0x1f, 0x40, 0]);
    g.load(DATA + 8, [0x48, 0x83, 0xc3, 3, 0x0f, 0x1f, 0x40, 0]);
    g.hot((a) => {
      a.mov(RDX, PASSES).label("loop");
      // mov esi,edx; and esi,1; lea rsi,[rsi*8+DATA]; mov edi,body; mov ecx,8; rep movsb
      a.db(0x89, 0xd6, 0x83, 0xe6, 1, 0x48, 0x8d, 0x34, 0xf5, imm(DATA)).mov(7, "body").mov(RCX, 8).db(0xf3, 0xa4);
      a.label("body").db(0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90);
      a.db(0xff, 0xca).jcc(CC.nz, "loop");
    });
    expect(g.get("rbx")).toBe(2 * PASSES);
  });

  it("in a branch's displacement", () => {
    const g = new HotGuest();
    g.hot((a) => {
      a.mov(RCX, PASSES).mov(RDX, "distance").label("loop");
      // mov eax,ecx; and eax,1; shl eax,2; mov [rdx],eax; jmp +0 or +4; add rbx,1; add rbx,2
      a.db(0x89, 0xc8, 0x83, 0xe0, 1, 0xc1, 0xe0, 2, 0x89, 0x02);
      a.db(0xe9).label("distance").db(imm(0)).db(0x48, 0x83, 0xc3, 1, 0x48, 0x83, 0xc3, 2).again("loop");
    });
    expect(g.get("rbx")).toBe(sum(PASSES, (n) => (n & 1 ? 2 : 3)));
  });

  it("by the instruction itself", () => {
    const g = new HotGuest();
    g.hot((a) => {
      a.mov(RCX, 100).label("loop");
      // add byte [rip-2],1 : its own immediate goes up by itself: 1, 2, 4, ...; 100 passes
      a.db(0x80, 0x05, imm(-1), 1).label("end").again("loop");
    });
    let value = 1;
    for (let i = 0; i < 100; i++) value = (value + value) & 0xff;
    expect(g.view.getUint8(CODE + 10 + 6)).toBe(value);
  });
});

describe("code beside data in one page", () => {
  it("reads what it stored there", () => {
    const g = new HotGuest();
    g.hot((a) => {
      a.mov(RCX, PASSES)
        .mov(RDX, CODE + 0xf00)
        .label("loop");
      // add [rdx],ecx; mov eax,[rdx]; add rbx,rax
      a.db(0x01, 0x0a, 0x8b, 0x02, 0x48, 0x01, 0xc3).again("loop");
    });
    let [cell, total] = [0, 0];
    for (let n = PASSES; n > 0; n--) total += cell += n;
    expect(g.get("rbx")).toBe(total);
  });

  it("with its stack in the same page", () => {
    const g = new HotGuest();
    g.set("rsp", CODE + 0x800);
    g.hot((a) => {
      a.mov(RCX, PASSES).jmp("loop").label("add").db(0x48, 0x01, 0xcb, 0xc3);
      a.label("loop").db(0x51).call("add").db(0x59).again("loop");
    });
    expect(g.get("rbx")).toBe(sum(PASSES, (n) => n));
  });
});

describe("code at two addresses", () => {
  it("knows where it is", () => {
    const g = new HotGuest();
    const ALIAS = 0x10_0000;
    // lea rax,[rip]; ret
    g.load(CODE + PAGE, [0x48, 0x8d, 0x05, imm(0), 0xc3]);
    g.mapPage(ALIAS, (CODE + PAGE) | 7);
    g.hot((a) => {
      a.mov(RCX, PASSES)
        .mov(RDX, CODE + PAGE)
        .mov(RSI, ALIAS)
        .label("loop");
      // call rdx; add rbx,rax; call rsi; add rbx,rax
      a.db(0xff, 0xd2, 0x48, 0x01, 0xc3, 0xff, 0xd6, 0x48, 0x01, 0xc3).again("loop");
    });
    expect(g.get("rbx")).toBe(PASSES * (CODE + PAGE + ALIAS + 14));
  });

  it("changes at both", () => {
    const g = new HotGuest();
    const ALIAS = 0x10_0000;
    // mov eax,0; ret
    g.load(CODE + PAGE, [0xb8, imm(0), 0xc3]);
    g.mapPage(ALIAS, (CODE + PAGE) | 7);
    g.hot((a) => {
      a.mov(RCX, PASSES)
        .mov(RDX, CODE + PAGE)
        .mov(RSI, ALIAS)
        .label("loop");
      // mov [rdx+1],ecx; call rsi; add rbx,rax; mov [rsi+1],ecx; call rdx; add rbx,rax
      a.db(0x89, 0x4a, 1, 0xff, 0xd6, 0x48, 0x01, 0xc3, 0x89, 0x4e, 1, 0xff, 0xd2, 0x48, 0x01, 0xc3).again("loop");
    });
    expect(g.get("rbx")).toBe(2 * sum(PASSES, (n) => n));
  });
});
