/** Debug exceptions: breakpoints, single steps, and what holds them off (SDM vol. 3B, 18.2 and 18.3). */
import { describe, expect, it } from "vitest";
import { type Bytes, bytes, CODE, DATA, Guest, imm, SS0 } from "./guest.ts";

const TF = 0x100;
const RF = 0x1_0000;
const NOP = 0x90;
/** DR6 with nothing to tell. */
const QUIET = 0xffff_0ff0;
const BS = 0x4000;
const BD = 0x2000;
const dr6 = (bits: number) => (QUIET | bits) >>> 0;

/** mov rax,value; mov drN,rax */
const setDebug = (n: number, value: number) => [0x48, 0xb8, imm(value, 8), 0x0f, 0x23, 0xc0 | (n << 3)];
/** mov rdi,DATA */
const RDI_DATA = [0x48, 0xbf, imm(DATA, 8)];
const sizeOf = (...code: Bytes) => bytes(code).length;

/** Lets the instruction under an instruction breakpoint run, as debuggers do. */
const resumes = (guest: Guest) => {
  guest.onTrap = ({ dr6 }) => {
    if ((dr6 & 0xf) !== 0) guest.view.setUint32(guest.frame(2), guest.view.getUint32(guest.frame(2), true) | RF, true);
    guest.set("dr6", QUIET);
  };
};

/** Arms breakpoint 0 at `address` with DR7 control bits for it: RW in bits 16-17, LEN in 18-19. */
const arm = (address: number, control: number): Bytes => [setDebug(0, address), setDebug(7, 0x401 | control)];
const ARM_BYTES = sizeOf(arm(0, 0));
const WRITE4 = 0xd_0000;
const ACCESS4 = 0xf_0000;
const WRITE1 = 0x1_0000;
const IO1 = 0x2_0000;

describe("instruction breakpoints", () => {
  it("come before the instruction, without RF, and once with RF", () => {
    const g = new Guest();
    resumes(g);
    const at = ARM_BYTES + 1;
    expect(g.run(arm(CODE + at, 0), NOP, NOP, NOP)).toEqual([`1@${at}`]);
    expect(g.traps[0]).toMatchObject({ dr6: dr6(1) });
    expect(g.traps[0]!.eflags & RF).toBe(0);
  });

  it("come again at the next pass: RF lasts for one instruction", () => {
    const g = new Guest();
    resumes(g);
    const at = ARM_BYTES + 2;
    // mov cl,3; nop; dec ecx; jnz back to the nop
    expect(g.run(arm(CODE + at, 0), 0xb1, 3, NOP, 0xfe, 0xc9, 0x75, 0xfb)).toEqual([`1@${at}`, `1@${at}`, `1@${at}`]);
  });

  it("repeat for ever where the handler does not set RF", () => {
    const g = new Guest();
    expect(g.run(arm(CODE + ARM_BYTES, 0), NOP).at(-1)).toBe("traps on");
  });

  it("come in code that was decoded and linked before", () => {
    const g = new Guest();
    resumes(g);
    // mov ecx,2; loop: nop; dec ecx; jz out; (arm); jmp loop; out:
    const armed = arm(CODE + 5, 0);
    const back = -(1 + 2 + 2 + ARM_BYTES + 2);
    expect(g.run(0xb9, imm(2), NOP, 0xff, 0xc9, 0x74, ARM_BYTES + 2, armed, 0xeb, back & 0xff)).toEqual(["1@5"]);
  });

  it("are passed over after MOV SS", () => {
    const g = new Guest();
    const at = ARM_BYTES + sizeOf(0x66, 0xb8, imm(SS0, 2), 0x8e, 0xd0);
    expect(g.run(arm(CODE + at, 0), 0x66, 0xb8, imm(SS0, 2), 0x8e, 0xd0, NOP)).toEqual([]);
  });
});

describe("data breakpoints", () => {
  const watched = (control: number, ...code: Bytes) => {
    const g = new Guest();
    const traps = g.run(arm(DATA + 16, control), RDI_DATA, code);
    return {
      g,
      traps: traps.map((trap) => trap.replace(/@(\d+)/, (_, at) => `@${at - ARM_BYTES - sizeOf(RDI_DATA)}`)),
    };
  };

  it("come after the write, with the value stored", () => {
    const { g, traps } = watched(WRITE4, 0x89, 0x47, 16, NOP, NOP);
    expect(traps).toEqual(["1@3"]);
    expect(g.traps[0]!.dr6).toBe(dr6(1));
    expect(g.view.getUint32(DATA + 16, true)).toBe(0x401 | WRITE4);
  });
  it("see accesses that overlap, and no others", () => {
    // mov [rdi+9],rax (9..16); mov [rdi+8],rax (8..15); mov [rdi+19],al; mov [rdi+20],al
    const { traps } = watched(WRITE4, 0x48, 0x89, 0x47, 9, 0x48, 0x89, 0x47, 8, 0x88, 0x47, 19, 0x88, 0x47, 20);
    expect(traps).toEqual(["1@4", "1@11"]);
  });
  it("for writes do not see reads; for accesses they do", () => {
    expect(watched(WRITE4, 0x8b, 0x47, 16, NOP).traps).toEqual([]);
    expect(watched(ACCESS4, 0x8b, 0x47, 16, NOP).traps).toEqual(["1@3"]);
    expect(watched(ACCESS4, 0x83, 0x47, 16, 1, NOP).traps).toEqual(["1@4"]);
  });
  it("come after the pass of a repeated instruction that hit", () => {
    // mov ecx,20; rep stosb
    const { g, traps } = watched(WRITE1, 0xb9, imm(20), 0xf3, 0xaa);
    expect(traps).toEqual(["1@5"]);
    expect(g.view.getUint8(DATA + 19)).not.toBe(0);
  });
  it("wait until after the instruction that follows MOV SS", () => {
    const g = new Guest();
    g.view.setUint16(DATA + 16, SS0, true);
    const start = ARM_BYTES + sizeOf(RDI_DATA);
    expect(g.run(arm(DATA + 16, ACCESS4), RDI_DATA, 0x8e, 0x57, 16, NOP, NOP)).toEqual([`1@${start + 4}`]);
  });
  it("merge with INT1 after MOV SS, and follow INT3", () => {
    for (const [code, expected] of [
      [0xf1, ["1"]],
      [0xcc, ["1", "3"]],
    ] as const) {
      const g = new Guest();
      g.view.setUint16(DATA + 16, SS0, true);
      g.run(arm(DATA + 16, ACCESS4), RDI_DATA, 0x8e, 0x57, 16, code, NOP);
      expect(g.traps.map((t) => String(t.vector))).toEqual(expected);
    }
  });
  it("are forgotten where the instruction faults", () => {
    // The source is watched, the destination does not exist: movsd to an address that is not canonical.
    const g = new Guest();
    g.onTrap = () => g.set("rdi", DATA + 64);
    const code = [arm(DATA, ACCESS4), 0x48, 0xbe, imm(DATA, 8), 0x48, 0xbf, imm(0x8000_0000_0000n, 8), 0xa5, NOP];
    const at = sizeOf(code) - 2;
    expect(g.run(code)).toEqual([`13(0)@${at}`, `1@${at + 1}`]);
  });
});

describe("I/O breakpoints", () => {
  it("come after IN and OUT where CR4.DE is set", () => {
    const g = new Guest();
    g.set("cr4", g.get("cr4") | 8);
    // out 81h,al; out 80h,al; in al,80h
    expect(g.run(arm(0x80, IO1), 0xe6, 0x81, 0xe6, 0x80, 0xe4, 0x80)).toEqual([
      `1@${ARM_BYTES + 4}`,
      `1@${ARM_BYTES + 6}`,
    ]);
  });
});

describe("single steps", () => {
  /** Runs with TF from the start to the end of the code. */
  const stepped = (...code: Bytes) => {
    const g = new Guest();
    g.addFlags(TF);
    const end = CODE + sizeOf(code);
    g.onTrap = ({ rip }) => {
      if (rip === end) g.view.setUint32(g.frame(2), 2, true);
    };
    return { g, traps: g.run(code) };
  };

  it("come after each instruction, DR6.BS set", () => {
    const { g, traps } = stepped(NOP, 0xb8, imm(1), NOP);
    expect(traps).toEqual(["1@1", "1@6", "1@7"]);
    expect(g.traps[0]!.dr6).toBe(dr6(BS));
  });
  it("come after each pass of a repeated instruction", () => {
    const at = sizeOf(RDI_DATA);
    const { traps } = stepped(RDI_DATA, 0xb1, 3, 0xf3, 0xaa);
    expect(traps.slice(2, 5)).toEqual([`1@${at + 2}`, `1@${at + 2}`, `1@${at + 4}`]);
  });
  it("come after the POPF that clears TF, and not after the one that sets it", () => {
    const g = new Guest();
    // pushf; or dword [rsp],100h; popf; nop; pushf; and dword [rsp],~100h; popf; nop; nop
    const set = [0x9c, 0x81, 0x0c, 0x24, imm(TF), 0x9d];
    const at = sizeOf(set);
    const clear = [0x9c, 0x81, 0x24, 0x24, imm(~TF), 0x9d];
    expect(g.run(set, NOP, clear, NOP, NOP)).toEqual([1, 2, 9, 10].map((n) => `1@${at + n}`));
  });
  it("come after calls, returns and jumps, at their targets", () => {
    // call +2; jmp +7; (two bytes passed over;) ret at 9: lea rax,[rip+0]; jmp rax; nop
    expect(stepped(0xe8, imm(2), 0xeb, 1, 0xc3, 0x48, 0x8d, 0x05, imm(2), 0xff, 0xe0, NOP).traps).toEqual(
      [7, 5, 8, 15, 17, 18].map((n) => `1@${n}`),
    );
  });
  it("come at breakpoints in a page that jumps lead to and from", () => {
    const g = new Guest();
    resumes(g);
    const FAR = CODE + 0x2000;
    g.load(FAR, [NOP, NOP, 0xc3]);
    // Armed at the second NOP: mov ecx,3; mov eax,FAR; call rax; dec ecx; jnz back to the call
    const code = [arm(FAR + 1, 0), 0xb9, imm(3), 0xb8, imm(FAR), 0xff, 0xd0, 0xff, 0xc9, 0x75, 0xfa];
    expect(g.run(code)).toEqual(Array.from({ length: 3 }, () => `1@${0x2001}`));
    expect(g.get("rcx")).toBe(0);
  });
  it("do not come after MOV SS", () => {
    // mov eax,ss; mov ss,eax; nop; nop
    expect(stepped(0x8c, 0xd0, 0x8e, 0xd0, NOP, NOP).traps).toEqual(["1@2", "1@5", "1@6"]);
  });
  it("do not come after INT, which clears TF", () => {
    expect(stepped(0xcd, 0x40, NOP).traps).toEqual(["64@2", "1@3"]);
    expect(stepped(0xf1, NOP).traps).toEqual(["1@1", "1@2"]);
  });
  it("go by the flags SYSCALL and SYSRET leave", () => {
    const g = new Guest({ cpl: 3 });
    g.set("efer", 0x501);
    g.set("star", (0x10n << 48n) | (0x08n << 32n));
    g.set("lstar", CODE + 0x100);
    g.set("fmask", TF);
    g.addFlags(TF);
    // At the target: mov r11d,102h; mov ecx,CODE+20h; sysretq. There: two NOPs and HLT, which faults at CPL 3.
    g.load(CODE + 0x100, [0x41, 0xbb, imm(TF | 2), 0xb9, imm(CODE + 0x20), 0x48, 0x0f, 0x07]);
    g.load(CODE + 0x20, [NOP, NOP, 0xf4]);
    g.onTrap = ({ vector }) => {
      if (vector === 13) g.set("rip", CODE + 0x200);
    };
    g.load(CODE + 0x200, [0xf4]);
    expect(g.run(NOP, 0x0f, 0x05)).toEqual(["1@1", "1@32", "1@33", "1@34", "13(0)@34"]);
  });
  it("end a HLT", () => {
    const g = new Guest();
    g.addFlags(TF);
    g.onTrap = () => g.view.setUint32(g.frame(2), 2, true);
    expect(g.run(0xf4, NOP)).toEqual(["1@1"]);
    expect(g.get("rip")).toBe(CODE + 3);
  });
});

describe("debug registers", () => {
  it("are guarded by DR7.GD, which the exception clears", () => {
    const g = new Guest();
    g.set("dr7", 0x2400);
    // mov rax,dr0
    expect(g.run(0x0f, 0x21, 0xc0)).toEqual(["1@0"]);
    expect(g.traps[0]!.dr6).toBe(dr6(BD));
    expect(g.get("dr7")).toBe(0x400);
  });
  it("DR6: bits 0-3 tell of this exception, the others stay", () => {
    const g = new Guest();
    resumes(g);
    g.set("dr6", QUIET | BS | 2);
    g.run(arm(CODE + ARM_BYTES, 0), NOP);
    expect(g.traps[0]!.dr6).toBe(dr6(BS | 1));
  });
  it("DR0 to DR3 take any address", () => {
    const g = new Guest();
    expect(g.run(0x48, 0xb8, imm(0x8000_0000_0000n, 8), 0x0f, 0x23, 0xc0)).toEqual([]);
    expect(g.get("dr0")).toBe(0x8000_0000_0000);
  });
});

describe("in 32-bit code", () => {
  /** mov eax,value; mov drN,eax */
  const setDebug32 = (n: number, value: number) => [0xb8, imm(value), 0x0f, 0x23, 0xc0 | (n << 3)];
  const arm32 = (address: number, control: number): Bytes => [setDebug32(0, address), setDebug32(7, 0x401 | control)];
  const ARM32 = sizeOf(arm32(0, 0));

  it("breakpoints hold linear addresses, whatever the segments' bases", () => {
    const BASE = 0x100;
    const based = (address: number, control: number) => {
      const g = new Guest({ mode: "flat32" });
      for (const number of [1, 3]) g.cpu.setSegment(number, { ...g.cpu.getSegment(number), base: BigInt(BASE) });
      g.cpu.updateMode();
      g.set("rip", CODE - BASE);
      g.load(CODE + 0x400, [0xf4]);
      // Back through the GDT, where segments have base 0.
      g.onTrap = () => g.view.setUint32(g.frame(0), CODE + 0x400, true);
      // mov [DATA-BASE+16],eax; nop; nop
      g.run(arm32(address, control), 0xa3, imm(DATA - BASE + 16), NOP, NOP);
      return g.traps.map(({ rip, dr6: why }) => [rip + BASE - CODE, why]);
    };
    expect(based(DATA + 16, WRITE4)).toEqual([[ARM32 + 5, dr6(1)]]);
    expect(based(CODE + ARM32 + 6, 0)).toEqual([[ARM32 + 6, dr6(1)]]);
  });
  it("single steps go through calls and far returns", () => {
    const g = new Guest({ mode: "flat32" });
    g.addFlags(TF);
    // push cs; call +1; hlt; retf (to the HLT, through CS)
    const end = CODE + 6;
    g.onTrap = ({ rip }) => {
      if (rip === end) g.view.setUint32(g.frame(2), 2, true);
    };
    expect(g.run(0x0e, 0xe8, imm(1), 0xf4, 0xcb)).toEqual(["1@1", "1@7", "1@6"]);
  });
});
