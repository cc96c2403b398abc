/** Single steps and breakpoints that begin in the middle of hot code, and code of 16 and 32 bits (SDM vol. 3B, 18.2 and 18.3). */
import { describe, expect, it } from "vitest";
import { CODE, DATA, imm } from "../../system/guest.ts";
import { type Assembler, CC, RAX, RBX, RCX, RDX } from "../assembler.ts";
import { HotGuest, PASSES, sum } from "../machine.ts";

const DB = 1;
/** inc dword [DATA]; iretq, with RF set so that an instruction breakpoint is passed over: or dword [rsp+16],10000h */
const COUNT = [0xff, 0x04, 0x25, imm(DATA)];
const RESUME = [0x81, 0x4c, 0x24, 16, imm(0x1_0000)];
const IRETQ = [0x48, 0xcf];
/** mov rax,value; mov drN,rax */
const setDebug = (a: Assembler, n: number, value: number | string) => a.mov(RAX, value).db(0x0f, 0x23, 0xc0 | (n << 3));

describe("a breakpoint set in a hot loop", () => {
  /** Armed at the pass half way, cleared a quarter before the end. `control`: of breakpoint 0 in DR7. */
  const armed = (at: (a: Assembler) => number | string, control: number, body: (a: Assembler) => void) => {
    const g = new HotGuest();
    g.handle(DB, (a) => a.db(COUNT, RESUME, IRETQ));
    const a = g.hot((asm) => {
      asm
        .mov(RCX, PASSES)
        .mov(RDX, DATA + 64)
        .jmp("loop");
      asm.label("arm");
      setDebug(asm, 0, at(asm));
      setDebug(asm, 7, 0x401 | control).jmp("on");
      asm.label("disarm");
      setDebug(asm, 7, 0x400).jmp("on");
      asm
        .label("loop")
        .db(0x81, 0xf9, imm(PASSES / 2))
        .jcc(CC.z, "arm");
      asm
        .db(0x81, 0xf9, imm(PASSES / 4))
        .jcc(CC.z, "disarm")
        .label("on");
      body(asm);
      asm.again("loop");
    });
    return { g, a };
  };

  it("on an instruction", () => {
    const { g } = armed(
      () => "here",
      0,
      (a) => a.db(0x48, 0x01, 0xcb).label("here").db(0x48, 0xff, 0xc3),
    );
    expect([g.word(DATA), g.get("rbx")]).toEqual([PASSES / 4, sum(PASSES, (n) => n + 1)]);
  });

  it("on a write", () => {
    const { g } = armed(
      () => DATA + 64,
      0xd_0000,
      (a) => a.db(0x01, 0x0a, 0x8b, 0x1a),
    );
    expect([g.word(DATA), g.word(DATA + 64)]).toEqual([PASSES / 4, sum(PASSES, (n) => n)]);
  });

  it("on an access beside those that the loop makes", () => {
    const { g } = armed(
      () => DATA + 72,
      0xf_0000,
      (a) => a.db(0x01, 0x0a, 0x8b, 0x1a),
    );
    expect([g.word(DATA), g.word(DATA + 64)]).toEqual([0, sum(PASSES, (n) => n)]);
  });
});

describe("single steps in a hot loop", () => {
  it("from a POPF to the next", () => {
    const g = new HotGuest();
    g.handle(DB, (a) => a.db(COUNT, IRETQ));
    g.hot((a) => {
      // pushf; or dword [rsp],100h; popf; add rbx,rcx; pushf; and dword [rsp],~100h; popf
      a.mov(RCX, PASSES).label("loop").db(0x9c, 0x81, 0x0c, 0x24, imm(0x100), 0x9d, 0x48, 0x01, 0xcb);
      a.db(0x9c, 0x81, 0x24, 0x24, imm(~0x100), 0x9d).again("loop");
    });
    // After the addition, PUSHF, AND and the POPF that ends it.
    expect([g.word(DATA), g.get("rbx")]).toEqual([4 * PASSES, sum(PASSES, (n) => n)]);
  });

  it("from an IRETQ, in every eighth pass", () => {
    const g = new HotGuest();
    // The handler ends the stepping after one instruction: and dword [rsp+16],~100h
    g.handle(DB, (a) => a.db(COUNT, 0x81, 0x64, 0x24, 16, imm(~0x100), IRETQ));
    g.hot((a) => {
      a.mov(RCX, PASSES).label("loop").db(0xf6, 0xc1, 7).jcc(CC.nz, "on");
      // mov rax,rsp; push 10h; push rax; push 102h; push 8; push on; iretq
      a.db(0x48, 0x89, 0xe0, 0x6a, 0x10, 0x50, 0x68, imm(0x102), 0x6a, 8).mov(RAX, "on").db(0x50, 0x48, 0xcf);
      a.label("on").db(0x48, 0x01, 0xcb).again("loop");
    });
    expect([g.word(DATA), g.get("rbx")]).toEqual([PASSES / 8, sum(PASSES, (n) => n)]);
  });

  it("that the handler sees one at a time, at the right places", () => {
    const g = new HotGuest();
    // It adds up the addresses: mov rax,[rsp+8]; add [DATA+8],rax
    g.handle(DB, (a) =>
      a.db(0x50, 0x48, 0x8b, 0x44, 0x24, 8, 0x48, 0x01, 0x04, 0x25, imm(DATA + 8), 0x58, COUNT, IRETQ),
    );
    const a = g.assemble((asm) => {
      asm.mov(RCX, PASSES).mov(RBX, 0).label("loop").db(0x48, 0x01, 0xcb).again("loop").hlt();
    });
    // TF comes from outside for a while.
    let passes = 0;
    g.finish(300, () => {
      if (passes++ < 2) g.addFlags(0x100);
      else g.cpu.setEflags(g.cpu.getEflags() & ~0x100);
      g.cpu.updateMode();
    });
    expect(g.get("rbx")).toBe(sum(PASSES, (n) => n));
    expect(g.word(DATA)).toBeGreaterThan(50);
    const mean = g.word(DATA + 8) / g.word(DATA);
    expect(mean).toBeGreaterThan(a.at("loop") - 1);
    expect(mean).toBeLessThan(a.here);
  });
});

describe("code of 32 and 16 bits", () => {
  const GDT = 0x1000;
  const RBP = 5;
  const CODE16 = 0x38;

  it("a 32-bit loop wraps its registers and addresses", () => {
    const g = new HotGuest({ mode: "flat32" });
    g.hot((a) => {
      a.mov(RCX, PASSES).mov(RAX, 0xffff_ff00).mov(RDX, 0xffff_fff0).mov(RBX, 0).label("loop");
      // add eax,ecx; adc ebx,0; mov [edx+DATA+10h],eax; push eax; pop esi; add bx,cx
      a.db(0x01, 0xc8, 0x83, 0xd3, 0, 0x89, 0x82, imm(DATA + 0x10), 0x50, 0x5e, 0x66, 0x01, 0xcb).again("loop");
    });
    let [eax, ebx] = [0xffff_ff00, 0];
    for (let n = PASSES; n > 0; n--) {
      eax += n;
      if (eax > 0xffff_ffff) [eax, ebx] = [eax - 0x1_0000_0000, ebx + 1];
      ebx = (ebx & 0xffff_0000) | ((ebx + n) & 0xffff);
    }
    expect([g.get("rax"), g.get("rbx"), g.get("rsi"), g.word(DATA)]).toEqual([eax, ebx, eax, eax]);
  });

  it.each([
    // mov eax,[edx]; add [edx],eax; mov [edx],eax: by DS. mov eax,[ebp]: by SS.
    ["a load", [0x8b, 0x02], 13],
    ["a read-modify-write", [0x01, 0x02], 13],
    ["a store", [0x89, 0x02], 13],
    ["a load by SS", [0x8b, 0x45, 0x00], 12],
  ] as const)("%s beyond 4 GiB is beyond the segment's limit", (_, access, vector) => {
    const g = new HotGuest({ mode: "flat32" });
    for (const number of [12, 13, 14]) g.handle(number, (a) => a.mov(RBX, number).hlt());
    g.hot((a) => {
      a.mov(RCX, PASSES).mov(RDX, DATA).mov(RBP, DATA).label("loop");
      // cmp ecx,1; jne +6; mov edx,-2; mov ebp,edx
      a.db(0x83, 0xf9, 1, 0x75, 7, 0xba, imm(0xffff_fffe), 0x89, 0xd5, [...access]).again("loop");
    });
    expect(g.get("rbx")).toBe(vector);
  });

  it("a loop goes from 32 to 16 bits and back", () => {
    const g = new HotGuest({ mode: "flat32" });
    // Base 0, limit FFFFh: the 16-bit part lies below 64 KiB.
    g.view.setBigUint64(GDT + CODE16, 0x0000_9b00_0000_ffffn, true);
    const LOW = 0x8000;
    const a = g.assemble((asm) => {
      // jmp 38h:8000h
      asm
        .mov(RCX, PASSES)
        .label("loop")
        .db(0x01, 0xcb, 0xea, imm(LOW), imm(CODE16, 2))
        .label("back")
        .again("loop")
        .hlt();
    });
    // In 16 bits the same bytes are ADD BX,CX; then INC EBP; JMP FAR 8:back
    g.load(LOW, [0x01, 0xcb, 0x66, 0x45, 0x66, 0xea, imm(a.at("back")), imm(8, 2)]);
    g.finish();
    let ebx = 0;
    for (let n = PASSES; n > 0; n--) {
      ebx += n;
      ebx = (ebx & 0xffff_0000) | ((ebx + n) & 0xffff);
    }
    expect([g.get("rbx"), g.get("rbp")]).toEqual([ebx, PASSES]);
  });

  it("the same bytes are run in 64 and 32 bits by turns", () => {
    const g = new HotGuest();
    const FUNCTION = CODE + 0x1000;
    // A 32-bit code segment. 48 01 CB: add rbx,rcx; or dec eax; add ebx,ecx. RETF
    g.view.setBigUint64(GDT + CODE16, 0x00cf_9b00_0000_ffffn, true);
    g.load(FUNCTION, [0x48, 0x01, 0xcb, 0xcb]);
    g.load(DATA, [imm(FUNCTION), imm(8, 2), imm(0, 2), imm(FUNCTION), imm(CODE16, 2)]);
    g.hot((a) => {
      // call far [rdi]; call far [rdi+8]
      a.mov(RCX, PASSES).mov(RAX, 5000).label("loop").db(0xff, 0x1f, 0xff, 0x5f, 8).again("loop");
    });
    expect([g.get("rbx"), g.get("rax")]).toEqual([2 * sum(PASSES, (n) => n), 5000 - PASSES]);
  });
});
