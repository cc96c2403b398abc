/**
 * Instructions in front of an access that misses the TLB at each pass: whoever takes over there may do them again only where nothing of
 * them shows twice.
 */
import { describe, expect, it } from "vitest";
import { type Bytes, DATA, imm, PAGE_TABLES } from "../../system/guest.ts";
import { type Assembler, CC, RAX, RBX, RCX, RDX, RSI } from "../assembler.ts";
import { HotGuest, PASSES } from "../machine.ts";

/** Two pages so far apart have one entry of the TLB between them. */
const FAR = 0x100_0000;
const DIRECTORY = PAGE_TABLES + 0x2000;

/** add rdx,[rdi]: makes the other page miss; add rdx,[rdi + FAR + 8]: misses. DATA holds 0, and 3 behind it. */
const NEARBY: Bytes = [0x48, 0x03, 0x17];
const MISSES: Bytes = [0x48, 0x03, 0x97, imm(FAR + 8)];

function run(body: Bytes | ((a: Assembler) => void), before: Bytes = [], after: Bytes = []): HotGuest {
  const g = new HotGuest();
  // What is mapped low is mapped there as well.
  g.view.setBigUint64(DIRECTORY + (FAR >> 21) * 8, g.view.getBigUint64(DIRECTORY, true), true);
  g.set("cr4", g.get("cr4") | 0x600);
  g.cpu.updateMode();
  g.view.setUint32(DATA + 8, 3, true);
  g.hot((a) => {
    a.db(before);
    for (const register of [RAX, RBX, RDX, RSI]) a.mov(register, 0);
    a.mov(RCX, PASSES).label("loop").db(NEARBY);
    if (typeof body === "function") body(a);
    else a.db(body);
    a.db(MISSES);
    // Another block, whose access misses, too.
    a.db(0x48, 0x39, 0xc9).jcc(CC.nz, "loop").db(0x48, 0x03, 0x97, imm(8)).again("loop").db(after);
  });
  expect(g.get("rdx")).toBe(6 * PASSES);
  return g;
}

describe("in front of an access that misses the TLB", () => {
  it.each<[string, Bytes, number]>([
    ["a register counts", [0x48, 0xff, 0xc3], 1],
    // add rbx,5; mov [rdi+64],rbx; add rbx,2
    [
      "a register counts that waits behind a store",
      [0x48, 0x83, 0xc3, 5, 0x48, 0x89, 0x5f, 64, 0x48, 0x83, 0xc3, 2],
      7,
    ],
    // The same with a second store, and only then the access.
    [
      "a register counts behind two stores",
      [0x48, 0x83, 0xc3, 5, 0x48, 0x89, 0x5f, 64, 0x48, 0x83, 0xc3, 2, 0x48, 0x89, 0x5f, 72, 0x48, 0xff, 0xc3],
      8,
    ],
    // push rbx; inc rbx; pop rsi; push rbx; pop rbx
    ["the stack is used", [0x53, 0x48, 0xff, 0xc3, 0x5e, 0x53, 0x5b], 1],
    // call f; jmp on; f: inc rbx; ret
    ["a function is called and returns", [0xe8, 2, 0, 0, 0, 0xeb, 4, 0x48, 0xff, 0xc3, 0xc3], 1],
    // call f; call f; jmp on; f: inc rbx; ret
    ["a function is called twice", [0xe8, imm(7), 0xe8, imm(2), 0xeb, 4, 0x48, 0xff, 0xc3, 0xc3], 2],
    // mov rsi,rdx; mov eax,9; xor edx,edx; inc rbx; div dword [rdi + FAR + 8]; mov rdx,rsi
    [
      "a register counts, and the access is a divisor",
      [0x48, 0x89, 0xd6, 0xb8, imm(9), 0x31, 0xd2, 0x48, 0xff, 0xc3, 0xf7, 0xb7, imm(FAR + 8), 0x48, 0x89, 0xf2],
      1,
    ],
    // xor eax,eax; sub rax,rcx (CF); inc rsi (not CF); adc rbx,0
    ["flags are used", [0x31, 0xc0, 0x48, 0x29, 0xc8, 0x48, 0xff, 0xc6, 0x48, 0x83, 0xd3, 0], 1],
    // seventeen times inc rbx
    ["more counts than are done again", Array.from({ length: 17 }, () => [0x48, 0xff, 0xc3]).flat(), 17],
  ])("%s", (_, body, each) => {
    expect(run(body).get("rbx")).toBe(each * PASSES);
  });

  it.each<[string, Bytes]>([
    ["counts", [0x48, 0xff, 0x47, 64]],
    ["is counted by LOCK XADD", [0xb8, imm(1), 0xf0, 0x48, 0x0f, 0xc1, 0x47, 64]],
    // push [rdi+64]; inc qword [rsp]; pop [rdi+64]
    ["is counted on the stack", [0xff, 0x77, 64, 0x48, 0xff, 0x04, 0x24, 0x8f, 0x47, 64]],
  ])("memory %s", (_, body) => {
    const g = run(body);
    expect(g.word(DATA + 64)).toBe(PASSES);
  });

  it("vectors count, and the x87 stack", () => {
    // paddd xmm0,xmm1; fld1; faddp: both are one more
    const g = run(
      [0x66, 0x0f, 0xfe, 0xc1, 0xd9, 0xe8, 0xde, 0xc1],
      [0xdb, 0xe3, 0xd9, 0xee, 0x66, 0x0f, 0xef, 0xc0, 0xb8, imm(1), 0x66, 0x0f, 0x6e, 0xc8],
      [0x66, 0x0f, 0x7e, 0xc3, 0xdf, 0x7f, 80],
    );
    expect([g.get("rbx"), g.word(DATA + 80)]).toEqual([PASSES, PASSES]);
  });

  it("flags wait behind a store, are used, and replaced by a comparison", () => {
    const g = run((a) => {
      // xor eax,eax; cmp eax,1; mov [rdi+64],eax; setb r9b; cmp ecx,0; jb: never
      a.db(0x31, 0xc0, 0x83, 0xf8, 1, 0x89, 0x47, 64, 0x41, 0x0f, 0x92, 0xc1, 0x83, 0xf9, 0).jcc(CC.b, "loop");
      // mov r8,[rdi + FAR + 8]; add rbx,r9
      a.db(0x4c, 0x8b, 0x87, imm(FAR + 8), 0x4c, 0x01, 0xcb);
    });
    expect(g.get("rbx")).toBe(PASSES);
  });

  it("code goes on to another page", () => {
    const g = run((a) => {
      a.jmp("last");
      while (a.here % 0x1000 !== 0x1000 - 3) a.db(0x90);
      a.label("last").db(0x48, 0xff, 0xc3);
    });
    expect(g.get("rbx")).toBe(PASSES);
  });

  it("a division is made", () => {
    // mov rsi,rdx; mov eax,7; xor edx,edx; div ecx; add ebx,edx; mov rdx,rsi
    const g = run([0x48, 0x89, 0xd6, 0xb8, imm(7), 0x31, 0xd2, 0xf7, 0xf1, 0x01, 0xd3, 0x48, 0x89, 0xf2]);
    let rest = 0;
    for (let n = PASSES; n > 0; n--) rest += 7 % n;
    expect(g.get("rbx")).toBe(rest);
  });
});
