/** Code whose translation changes while it runs: what is compiled for one page must not run for another (SDM vol. 3A, 4.10). */
import { describe, expect, it } from "vitest";
import { type Bytes, bytes, CODE, CS3, DATA, Guest, imm, PAGE_ENTRIES, PAGE_TABLES, SS3 } from "../../system/guest.ts";
import { type Assembler, CC, RAX, RCX, RDX, RSI } from "../assembler.ts";
import { HotGuest, PASSES, sum } from "../machine.ts";

const PAGE = 0x1000;
/** Pages that no program needs. */
const FREE = 0x8_0000;
const entryOf = (linear: number) => PAGE_ENTRIES + (linear / PAGE) * 8;
/** invlpg [rdx] */
const INVLPG = [0x0f, 0x01, 0x3a];
/** Maps a page to the other one of two: xor esi,1000h; mov [entry],rsi; invlpg [rdx] */
const remap = (linear: number) => [[0x81, 0xf6, imm(PAGE)], [0x48, 0x89, 0x34, 0x25, imm(entryOf(linear))], INVLPG];

it.each(["called", "jumped to"])(
  "code too far away to be compiled with what leads to it is %s where it is mapped to",
  (how) => {
    const g = new HotGuest();
    const FAR = FREE + 16 * PAGE;
    g.mapPage(FAR, FREE | 7);
    const a = g.assemble((asm) => {
      asm
        .mov(RCX, PASSES)
        .mov(RSI, FREE | 7)
        .mov(RDX, FAR)
        .label("loop");
      if (how === "called") asm.call(FAR);
      else asm.jmp(FAR);
      asm
        .label("back")
        // cmp ecx, half
        .db(0x81, 0xf9, imm(PASSES / 2))
        .jcc(CC.nz, "on")
        .db(remap(FAR))
        .label("on")
        .again("loop")
        .hlt();
    });
    for (const [i, value] of [1, 7].entries()) {
      g.assemble(
        (asm) => {
          // add rbx,imm8; ret
          asm.db(0x48, 0x83, 0xc3, value);
          if (how === "called") asm.db(0xc3);
          else asm.jmp(a.at("back"));
        },
        FAR,
        FREE + i * PAGE,
      );
    }
    g.finish();
    expect(g.get("rbx")).toBe(sum(PASSES, (n) => (n >= PASSES / 2 ? 1 : 7)));
  },
);

describe("a loop over two pages", () => {
  const SECOND = CODE + PAGE;
  const NOP = [0x90];
  /** add rbx,imm8 */
  const add = (value: number) => [0x48, 0x83, 0xc3, value];

  /** Runs a loop that begins with what `write` does and ends with `last` in front of its second page, which is one of `seconds`. */
  const run = (g: HotGuest, write: (asm: Assembler) => void, last: Bytes, ...seconds: Bytes[]) => {
    const a = g.assemble((asm) => {
      asm
        .mov(RCX, PASSES)
        .mov(RSI, FREE | 7)
        .mov(RDX, SECOND)
        .jmp("loop")
        .align(SECOND - 0x100)
        .label("loop");
      write(asm);
      asm.jmp("last").label("back").again("loop").hlt();
      asm
        .align(SECOND - bytes(last).length)
        .label("last")
        .db(last);
    });
    seconds.forEach((code, i) => {
      g.assemble((asm) => asm.db(code).jmp(a.at("back")), SECOND, FREE + i * PAGE);
    });
    g.mapPage(SECOND, FREE | 7);
    g.finish();
  };

  it.each([
    ["at each pass", 1],
    ["in the middle", PASSES / 2],
  ])("whose second page is mapped to another %s", (_, every) => {
    const g = new HotGuest();
    const write = (asm: Assembler) => {
      // eax = passes left; every so often: to the other page
      asm
        .db(0x89, 0xc8, 0x31, 0xd2, 0x41, 0xb8, imm(every), 0x41, 0xf7, 0xf0, 0x85, 0xd2)
        .mov(RDX, SECOND)
        .jcc(CC.nz, "on")
        .db(remap(SECOND))
        .label("on");
    };
    run(g, write, NOP, add(1), add(7));
    let [page, total] = [0, 0];
    for (let n = PASSES; n > 0; n--) {
      if (n % every === 0) page ^= 1;
      total += page ? 7 : 1;
    }
    expect(g.get("rbx")).toBe(total);
  });

  it("whose call at the end of the first comes back on the second, which is mapped to another in the middle", () => {
    const g = new HotGuest();
    const FUNCTION = SECOND + PAGE;
    const CALL = [0xff, 0x14, 0x25, imm(DATA)];
    g.load(FUNCTION, [0xc3]);
    g.view.setUint32(DATA, FUNCTION, true);
    // cmp ecx, half; jne
    const write = (asm: Assembler) =>
      asm
        .db(0x81, 0xf9, imm(PASSES / 2))
        .jcc(CC.nz, "on")
        .db(remap(SECOND))
        .label("on");
    run(g, write, CALL, add(1), add(7));
    expect(g.get("rbx")).toBe(sum(PASSES, (n) => (n > PASSES / 2 ? 1 : 7)));
  });

  it("whose instruction across them changes with the second page", () => {
    const g = new HotGuest();
    // mov eax,imm32 with two bytes of the value on each page; add rbx,rax
    const across = (high: number) => [high, 0, 0x48, 0x01, 0xc3];
    run(g, (asm) => asm.db(remap(SECOND)), [0xb8, 5, 0], across(1), across(2));
    expect(g.get("rbx")).toBe(PASSES * 5 + (PASSES / 2) * 0x3_0000);
  });

  it("whose second page is there only now and then", () => {
    const g = new HotGuest();
    // #PF: the page is mapped again; pop the error code; inc dword [DATA]; iretq
    g.handle(14, (a) => {
      a.db(0x48, 0xc7, 0x04, 0x25, imm(entryOf(SECOND)), imm(FREE | 7), 0x48, 0x83, 0xc4, 8);
      a.db(0xff, 0x04, 0x25, imm(DATA), 0x48, 0xcf);
    });
    const write = (asm: Assembler) => {
      // Every fourth pass: mov qword [entry],0; invlpg [rdx]
      asm.db(0xf6, 0xc1, 3).jcc(CC.nz, "on");
      asm.db(0x48, 0xc7, 0x04, 0x25, imm(entryOf(SECOND)), imm(0), INVLPG).label("on");
    };
    run(g, write, NOP, add(3));
    expect([g.get("rbx"), g.word(DATA)]).toEqual([3 * PASSES, PASSES / 4]);
  });

  it("whose second page may not be executed any more", () => {
    const g = new HotGuest();
    g.set("efer", 0xd00);
    g.handle(14, (a) => {
      // mov eax,[rsp]; or [DATA+4],eax; and the page may be executed again
      a.db(0x8b, 0x04, 0x24, 0x09, 0x04, 0x25, imm(DATA + 4), 0xc7, 0x04, 0x25, imm(entryOf(SECOND) + 4), imm(0));
      a.db(0x48, 0x83, 0xc4, 8, 0xff, 0x04, 0x25, imm(DATA), 0x48, 0xcf);
    });
    const write = (asm: Assembler) => {
      asm.db(0xf6, 0xc1, 7).jcc(CC.nz, "on");
      asm.db(0xc7, 0x04, 0x25, imm(entryOf(SECOND) + 4), imm(0x8000_0000), INVLPG).label("on");
    };
    run(g, write, NOP, add(3));
    expect([g.get("rbx"), g.word(DATA), g.word(DATA + 4)]).toEqual([3 * PASSES, PASSES / 8, 0x11]);
  });
});

describe("two address spaces", () => {
  const OTHER = 0x9_0000;
  /** Makes the other space: four levels of its own, in which one page is another. */
  const otherSpace = (g: HotGuest, linear: number) => {
    g.cpu.ram.copyWithin(OTHER, PAGE_TABLES, PAGE_TABLES + 4 * PAGE);
    for (let level = 0; level < 3; level++) {
      g.view.setUint32(OTHER + level * PAGE, (OTHER + (level + 1) * PAGE) | 7, true);
    }
    g.view.setUint32(OTHER + 3 * PAGE + (linear / PAGE) * 8, FREE | 7, true);
  };

  it("with other code at the same address", () => {
    const g = new HotGuest();
    const TARGET = CODE + PAGE;
    otherSpace(g, TARGET);
    g.load(TARGET, [0x48, 0x83, 0xc3, 1, 0xc3]);
    g.load(FREE, [0x48, 0x83, 0xc3, 10, 0xc3]);
    g.hot((a) => {
      a.mov(RCX, PASSES).mov(RDX, PAGE_TABLES).mov(RSI, OTHER).label("loop");
      // mov cr3,rsi; call; mov cr3,rdx; call
      a.db(0x0f, 0x22, 0xde).call(TARGET).db(0x0f, 0x22, 0xda).call(TARGET).again("loop");
    });
    expect(g.get("rbx")).toBe(11 * PASSES);
  });

  it("with other data at the same address", () => {
    const g = new HotGuest();
    otherSpace(g, DATA);
    g.hot((a) => {
      a.mov(RCX, PASSES).mov(RDX, PAGE_TABLES).mov(RSI, OTHER).label("loop");
      // mov cr3,rsi; inc dword [rdi]; mov cr3,rdx; add dword [rdi],2
      a.db(0x0f, 0x22, 0xde, 0xff, 0x07, 0x0f, 0x22, 0xda, 0x83, 0x07, 2).again("loop");
    });
    expect([g.word(DATA), g.word(FREE)]).toEqual([2 * PASSES, PASSES]);
  });
});

describe("data in a hot loop", () => {
  it("follows its page to another place", () => {
    const g = new HotGuest();
    const WINDOW = 0x10_0000;
    g.mapPage(WINDOW, FREE | 7);
    g.hot((a) => {
      a.mov(RCX, PASSES)
        .mov(RDX, WINDOW)
        .mov(RSI, FREE | 7)
        .label("loop");
      // inc dword [rdx]
      a.db(0xff, 0x02, remap(WINDOW)).again("loop");
    });
    expect([g.word(FREE), g.word(FREE + PAGE)]).toEqual([PASSES / 2, PASSES / 2]);
  });

  it("sets accessed and dirty bits again after INVLPG", () => {
    const g = new HotGuest();
    const WINDOW = 0x10_0000;
    g.mapPage(WINDOW, FREE | 7);
    g.hot((a) => {
      a.mov(RCX, PASSES).mov(RDX, WINDOW).label("loop");
      // inc dword [rdx]; mov eax,[entry]; and eax,60h; add rbx,rax; mov dword [entry],..; invlpg [rdx]
      a.db(0xff, 0x02, 0x8b, 0x04, 0x25, imm(entryOf(WINDOW)), 0x83, 0xe0, 0x60, 0x48, 0x01, 0xc3);
      a.db(0xc7, 0x04, 0x25, imm(entryOf(WINDOW)), imm(FREE | 7), INVLPG).again("loop");
    });
    expect(g.get("rbx")).toBe(0x60 * PASSES);
  });

  it("becomes read-only", () => {
    const g = new HotGuest();
    const WINDOW = 0x10_0000;
    g.set("cr0", g.get("cr0") | 0x1_0000);
    g.mapPage(WINDOW, FREE | 7);
    g.handle(14, (a) => {
      a.db(0xc7, 0x04, 0x25, imm(entryOf(WINDOW)), imm(FREE | 7), 0x48, 0x83, 0xc4, 8);
      a.db(0xff, 0x04, 0x25, imm(DATA), 0x48, 0xcf);
    });
    g.hot((a) => {
      a.mov(RCX, PASSES).mov(RDX, WINDOW).label("loop");
      a.db(0xf6, 0xc1, 7).jcc(CC.nz, "on");
      a.db(0xc7, 0x04, 0x25, imm(entryOf(WINDOW)), imm(FREE | 5), INVLPG).label("on");
      a.db(0x8b, 0x02, 0x01, 0x0a).again("loop");
    });
    expect([g.word(DATA), g.word(FREE)]).toEqual([PASSES / 8, sum(PASSES, (n) => n)]);
  });
});

describe("code at two privileges", () => {
  it("goes to the kernel and back in a hot loop", () => {
    const g = new HotGuest({ cpl: 3 });
    g.set("efer", 0x501);
    g.set("star", (0x10n << 48n) | (0x08n << 32n));
    g.set("lstar", CODE + PAGE);
    g.set("fmask", 0x200);
    // The kernel: add rbx,rdi of the caller; a page that users may not touch; sysretq
    g.mapPage(FREE, FREE | 3);
    g.assemble((a) => a.db(0x48, 0x01, 0xfb, 0xff, 0x04, 0x25, imm(FREE), 0x48, 0x0f, 0x07), CODE + PAGE);
    g.handle(13, (a) => a.hlt());
    g.assemble((a) => {
      // mov edi,[counter]; syscall: it destroys rcx and r11
      a.mov(RDX, PASSES).label("loop").db(0x89, 0xd7, 0x0f, 0x05, 0xff, 0xca).jcc(CC.nz, "loop").hlt();
    });
    g.finish();
    expect([g.get("rbx"), g.word(FREE)]).toEqual([sum(PASSES, (n) => n), PASSES]);
    expect([g.get("cpl"), g.word(g.get("rsp") + 16) & 0xffff]).toEqual([0, CS3]);
  });

  it("shares a subroutine that only one of them may finish", () => {
    const g = new HotGuest();
    g.mapPage(FREE, FREE | 3);
    // The shared code: inc dword [FREE]; ret. At CPL 3 it is #PF, and the handler goes on behind it.
    g.load(CODE + PAGE, [0xff, 0x04, 0x25, imm(FREE), 0xc3]);
    g.handle(14, (a) => {
      // add qword [rsp+8],7; add rsp,8; inc dword [DATA]; iretq
      a.db(0x48, 0x83, 0x44, 0x24, 8, 7, 0x48, 0x83, 0xc4, 8, 0xff, 0x04, 0x25, imm(DATA), 0x48, 0xcf);
    });
    // INT 40h comes back to CPL 0, behind the IRETQ, on the kernel's stack.
    const a = g.assemble((asm) => {
      asm
        .mov(RCX, PASSES)
        .label("loop")
        .call(CODE + PAGE);
      // mov rax,rsp; push SS3; push rax; push 2; push CS3; push user; iretq
      asm.db(0x48, 0x89, 0xe0, 0x6a, SS3, 0x50, 0x6a, 2, 0x6a, CS3).mov(RAX, "user").db(0x50, 0x48, 0xcf);
      asm
        .label("user")
        .call(CODE + PAGE)
        .db(0xcd, 0x40)
        .label("kernel")
        .again("loop")
        .hlt();
    });
    // mov rsp,[rsp+24]; jmp kernel
    g.handle(0x40, (asm) => asm.db(0x48, 0x8b, 0x64, 0x24, 24).jmp(a.at("kernel")));
    g.finish();
    expect([g.word(FREE), g.word(DATA)]).toEqual([PASSES, PASSES]);
  });
});

it("has a page table entry where Guest says", () => {
  const g = new Guest();
  expect(g.view.getUint32(entryOf(CODE), true) & ~0xff).toBe(CODE);
});
