/** Faults in the middle of hot code: all that came before has happened, nothing of what comes after, and the flags are right. */
import { describe, expect, it } from "vitest";
import { type Bytes, CODE, DATA, imm, PAGE_ENTRIES } from "../../system/guest.ts";
import { CC, RAX, RBX, RCX, RDX, RSI } from "../assembler.ts";
import { HotGuest, PASSES, sum } from "../machine.ts";

const PAGE = 0x1000;
const WINDOW = 0x10_0000;
/** Pages that the window shows. */
const FREE = 0x8_0000;
/** The larger part of the handler. */
const HANDLER = 0x6_0000;
/** RAX, RCX, RBX, EFLAGS and RIP at the last fault. */
const SAVED = DATA + 0x100;

/** A guest in whose window each page appears only when it is touched; the handler counts at DATA. */
function paged(): HotGuest {
  const g = new HotGuest();
  for (let page = 0; page < 64; page++) g.mapPage(WINDOW + page * PAGE, 0);
  g.handle(14, (a) => a.db(0x50).jmp(HANDLER));
  g.assemble((a) => {
    const save = (n: number) => [0x04, 0x25, imm(SAVED + 8 * n)];
    a.db(0x48, 0x8b, 0x04, 0x24, 0x48, 0x89, save(0));
    a.db(0x48, 0x89, 0x0c, 0x25, imm(SAVED + 8), 0x48, 0x89, 0x1c, 0x25, imm(SAVED + 16));
    a.db(0x48, 0x8b, 0x44, 0x24, 32, 0x48, 0x89, save(3), 0x48, 0x8b, 0x44, 0x24, 16, 0x48, 0x89, save(4));
    // mov rax,cr2; shr eax,12; lea r9d,[rax-WINDOW pages+FREE pages]; shl r9d,12; or r9d,7; mov [rax*8+ENTRIES],r9
    a.db(0x0f, 0x20, 0xd0, 0xc1, 0xe8, 12, 0x44, 0x8d, 0x88, imm((FREE - WINDOW) / PAGE));
    a.db(0x41, 0xc1, 0xe1, 12, 0x41, 0x83, 0xc9, 7, 0x4c, 0x89, 0x0c, 0xc5, imm(PAGE_ENTRIES));
    // inc dword [DATA]; pop rax; add rsp,8; iretq
    a.db(0xff, 0x04, 0x25, imm(DATA), 0x58, 0x48, 0x83, 0xc4, 8, 0x48, 0xcf);
  }, HANDLER);
  return g;
}
describe("a page fault in a loop", () => {
  /** Runs `body` for PASSES passes, RDX going up through the window; says where in the body the last fault was. */
  const walk = (stride: number, ...body: Bytes) => {
    const g = paged();
    const a = g.hot((asm) => {
      asm.mov(RCX, PASSES).mov(RDX, WINDOW).mov(RBX, 0).mov(RSI, 0).label("loop").db(body);
      asm.db(0x48, 0x81, 0xc2, imm(stride)).again("loop");
    });
    return { g, at: g.word(SAVED + 32) - a.at("loop"), flags: g.word(SAVED + 24) & 0x8d5 };
  };
  const FAULTS = Math.ceil((PASSES * 256) / PAGE);

  it("leaves registers as they were before the instruction", () => {
    // inc rbx; add [rdx],rbx; inc rsi
    const { g, at } = walk(256, 0x48, 0xff, 0xc3, 0x48, 0x01, 0x1a, 0x48, 0xff, 0xc6);
    expect([g.word(DATA), at, g.get("rbx"), g.get("rsi")]).toEqual([FAULTS, 3, PASSES, PASSES]);
    // The last fault was on the first pass of the last page.
    expect(g.word(SAVED + 16)).toBe(((FAULTS - 1) * PAGE) / 256 + 1);
    expect(g.word(SAVED + 8)).toBe(PASSES - ((FAULTS - 1) * PAGE) / 256);
  });

  it("leaves flags as the instruction before left them, also for the instruction behind", () => {
    // cmp ecx,200; mov [rdx],ecx; adc rbx,0
    const { g, at, flags } = walk(256, 0x81, 0xf9, imm(200), 0x89, 0x0a, 0x48, 0x83, 0xd3, 0);
    expect([g.word(DATA), at, g.get("rbx")]).toEqual([FAULTS, 6, 199]);
    const left = PASSES - ((FAULTS - 1) * PAGE) / 256;
    expect(flags & 1).toBe(left < 200 ? 1 : 0);
  });

  it("keeps flags that nothing but the handler could see", () => {
    // add al,0xff after mov al,1: CF ZF AF PF; mov [rdx],ecx; xor eax,eax
    const { at, flags } = walk(256, 0xb0, 1, 0x04, 0xff, 0x89, 0x0a, 0x31, 0xc0);
    expect([at, flags]).toEqual([4, 0x55]);
  });

  it("comes from every kind of access", () => {
    const kinds: [string, number[]][] = [
      ["load", [0x8b, 0x02]],
      ["load of a byte", [0x0f, 0xb6, 0x02]],
      ["store", [0x89, 0x02]],
      ["read, change, write", [0xff, 0x02]],
      ["locked", [0xf0, 0x0f, 0xb1, 0x02]],
      ["compare", [0x39, 0x02]],
      ["push of memory", [0xff, 0x32, 0x58]],
      ["pop to memory", [0x50, 0x8f, 0x02]],
      ["bit test by register", [0x0f, 0xab, 0x02]],
      ["vector load", [0x0f, 0x10, 0x02]],
      ["vector store", [0x0f, 0x11, 0x02]],
      ["scalar arithmetic", [0xf3, 0x0f, 0x58, 0x02]],
      ["x87 load", [0xdd, 0x02, 0xdd, 0xd8]],
    ];
    for (const [name, code] of kinds) {
      const g = paged();
      g.set("cr4", g.get("cr4") | 0x600);
      g.cpu.updateMode();
      g.hot((a) => {
        a.db(0xdb, 0xe3).mov(RCX, PASSES).mov(RDX, WINDOW).mov(RBX, 0).label("loop");
        a.db(code, 0x48, 0xff, 0xc3, 0x48, 0x81, 0xc2, imm(256)).again("loop");
      });
      expect([name, g.word(DATA), g.get("rbx")]).toEqual([name, FAULTS, PASSES]);
    }
  });

  it("in the second part of an access across two pages", () => {
    const g = paged();
    g.hot((a) => {
      a.mov(RCX, 30)
        .mov(RDX, WINDOW + PAGE - 4)
        .mov(RAX, 0x1122_3344_5566_7788n)
        .label("loop");
      a.db(0x48, 0x89, 0x02, 0x48, 0x81, 0xc2, imm(PAGE)).again("loop");
    });
    expect(g.word(DATA)).toBe(31);
    expect([g.word(FREE + PAGE - 4), g.word(FREE + PAGE)]).toEqual([0x5566_7788, 0x1122_3344]);
  });

  it("of a call that pushes, leaves RSP", () => {
    const g = paged();
    // The faults' own stack is another one: IST 1.
    g.view.setUint32(0x3000 + 36, 0x7_0000, true);
    g.view.setUint16(0x2000 + 14 * 16 + 4, 0xee01, true);
    g.hot((a) => {
      // mov rsp,...; loop: sub rsp,PAGE-8; call function
      a.mov(RCX, 40)
        .db(0x48, 0xbc, imm(WINDOW + 41 * PAGE, 8))
        .label("loop")
        .db(0x48, 0x81, 0xec, imm(PAGE - 8))
        .call("function")
        .hlt();
      // inc rbx; add rsp,8
      a.label("function").db(0x48, 0xff, 0xc3, 0x48, 0x83, 0xc4, 8).again("loop");
    });
    expect([g.get("rbx"), g.word(DATA), g.get("rsp")]).toEqual([40, 40, WINDOW + 41 * PAGE - 40 * (PAGE - 8)]);
  });
});

describe("other faults in a loop", () => {
  it("a division by what becomes zero", () => {
    const g = new HotGuest();
    // #DE: the divisor becomes 7. inc dword [DATA]; mov esi,7; iretq
    g.handle(0, (a) => a.db(0xff, 0x04, 0x25, imm(DATA)).mov(RSI, 7).db(0x48, 0xcf));
    g.hot((a) => {
      a.mov(RCX, PASSES).mov(RSI, 7).mov(RBX, 0).label("loop");
      // mov eax,ecx; xor edx,edx; div esi; add rbx,rax; dec esi
      a.db(0x89, 0xc8, 0x31, 0xd2, 0xf7, 0xf6, 0x48, 0x01, 0xc3, 0xff, 0xce).again("loop");
    });
    let [divisor, total, faults] = [7, 0, 0];
    for (let n = PASSES; n > 0; n--) {
      if (divisor === 0) [divisor, faults] = [7, faults + 1];
      total += Math.floor(n / divisor--);
    }
    expect([g.get("rbx"), g.word(DATA)]).toEqual([total, faults]);
  });

  it("an undefined instruction, passed over by the handler", () => {
    const g = new HotGuest();
    g.handle(6, (a) => a.db(0x48, 0x83, 0x04, 0x24, 2, 0xff, 0x04, 0x25, imm(DATA), 0x48, 0xcf));
    g.hot((a) => {
      a.mov(RCX, PASSES).label("loop").db(0x48, 0x01, 0xcb, 0x0f, 0x0b, 0x48, 0xff, 0xc3).again("loop");
    });
    expect([g.get("rbx"), g.word(DATA)]).toEqual([sum(PASSES, (n) => n + 1), PASSES]);
  });

  it("an address that stops being canonical", () => {
    const g = new HotGuest();
    g.handle(13, (a) => a.mov(RDX, DATA + 64).db(0x48, 0x83, 0xc4, 8, 0xff, 0x04, 0x25, imm(DATA), 0x48, 0xcf));
    g.hot((a) => {
      a.mov(RCX, PASSES)
        .mov(RDX, DATA + 64)
        .label("loop");
      a.db(0xf6, 0xc1, 15).jcc(CC.nz, "on").mov(RDX, 0x8000_0000_0000n).label("on");
      a.db(0x48, 0x01, 0x0a).again("loop");
    });
    expect([g.word(DATA), g.word(DATA + 64)]).toEqual([PASSES / 16, sum(PASSES, (n) => n)]);
  });

  it("traps that the code asks for", () => {
    const g = new HotGuest();
    // inc dword [DATA + 4 n]; iretq
    for (const vector of [3, 0x40]) g.handle(vector, (a) => a.db(0xff, 0x04, 0x25, imm(DATA + 4 * vector), 0x48, 0xcf));
    g.hot((a) => {
      a.mov(RCX, PASSES).label("loop").db(0xcc, 0x48, 0x01, 0xcb, 0xcd, 0x40).again("loop");
    });
    expect([g.get("rbx"), g.word(DATA + 12), g.word(DATA + 0x100)]).toEqual([sum(PASSES, (n) => n), PASSES, PASSES]);
  });
});

describe("repeated string instructions over page faults", () => {
  const BYTES = 20_000;
  const repeated = (prepare: (g: HotGuest) => void, ...code: Bytes) => {
    const g = paged();
    for (let i = 0; i < BYTES; i++) g.view.setUint8(FREE + 0x4_0000 + i, (i * 7 + 1) & 0xff);
    prepare(g);
    g.hot((a) =>
      a
        .db(0xfc)
        .mov(RCX, BYTES)
        .mov(RSI, FREE + 0x4_0000)
        .mov(7, WINDOW + 123)
        .db(code),
    );
    return g;
  };
  const copied = (g: HotGuest) => g.cpu.ram.slice(FREE + 123, FREE + 123 + BYTES);

  it.each([
    ["REP MOVSB", [0xf3, 0xa4], 1],
    ["REP MOVSQ", [0xc1, 0xe9, 3, 0xf3, 0x48, 0xa5], 8],
  ] as const)("%s copies all", (_, code, size) => {
    const g = repeated(() => undefined, [...code]);
    const whole = Math.floor(BYTES / size) * size;
    expect(copied(g).slice(0, whole)).toEqual(g.cpu.ram.slice(FREE + 0x4_0000, FREE + 0x4_0000 + whole));
    expect([g.word(DATA), g.get("rcx"), g.get("rdi")]).toEqual([5, 0, WINDOW + 123 + whole]);
  });

  it("REP STOSD fills all", () => {
    const g = repeated(() => undefined, 0xc1, 0xe9, 2, 0xb8, imm(0x0403_0201), 0xf3, 0xab);
    expect([g.word(DATA), g.word(FREE + 123 + BYTES - 4)]).toEqual([5, 0x0403_0201]);
  });

  it("REPE CMPSB and REPNE SCASB stop where they should", () => {
    const g = repeated(
      (guest) => {
        guest.cpu.ram.copyWithin(FREE + 123, FREE + 0x4_0000, FREE + 0x4_0000 + BYTES);
        guest.cpu.ram[FREE + 123 + 15_000] ^= 1;
      },
      0xf3,
      0xa6,
    );
    expect([g.get("rcx"), g.word(DATA)]).toEqual([BYTES - 15_001, 4]);
    const scan = repeated(
      (guest) => {
        guest.cpu.ram[FREE + 123 + 9000] = 0x5a;
      },
      0xb0,
      0x5a,
      0xf2,
      0xae,
    );
    expect([scan.get("rcx"), scan.word(DATA)]).toEqual([BYTES - 9001, 3]);
  });

  it("in a hot loop of short ones", () => {
    const g = paged();
    g.hot((a) => {
      a.mov(RBX, 100).mov(7, WINDOW).label("loop").mov(RCX, 300).mov(RSI, CODE).db(0xf3, 0xa4);
      a.db(0xff, 0xcb).jcc(CC.nz, "loop");
    });
    expect([g.get("rdi"), g.word(DATA)]).toEqual([WINDOW + 30_000, 8]);
    expect(g.cpu.ram.slice(FREE + 300, FREE + 320)).toEqual(g.cpu.ram.slice(CODE, CODE + 20));
  });
});
