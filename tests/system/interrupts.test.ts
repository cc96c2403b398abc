/** When interrupts and NMIs are taken, and what holds them off (SDM vol. 3A, 6.7 and 6.8). */
import { describe, expect, it } from "vitest";
import { Jit } from "../../src/cpu/jit/jit.ts";
import { software } from "../../src/cpu/software.ts";
import { ENGINES } from "../lockstep/engine-list.ts";
import { type Bytes, CODE, DATA, Guest, imm, SS0 } from "./guest.ts";

const IF = 0x200;
const NOP = 0x90;
const CLI = 0xfa;
const STI = 0xfb;
const VECTOR = 0x40;
const named = (vector: number, at: number) => `${vector}@${at}`;

/** Runs code with an interrupt waiting from the start. */
function waiting(prepare: (g: Guest) => void, ...code: Bytes): string[] {
  const g = new Guest();
  g.interrupt = VECTOR;
  prepare(g);
  return g.run(code);
}
const nothing = () => undefined;

describe("interrupts", () => {
  it("wait for IF, and for one instruction after STI", () => {
    expect(waiting(nothing, NOP, STI, NOP, NOP)).toEqual([named(VECTOR, 3)]);
    // STI with IF set already holds nothing off.
    expect(waiting((g) => g.addFlags(IF), STI, NOP)).toEqual([named(VECTOR, 0)]);
    // STI, CLI leaves no gap.
    expect(waiting(nothing, STI, CLI, NOP)).toEqual([]);
  });
  it("come right after POPF and IRET set IF", () => {
    // pushf; or dword [rsp],200h; popf; nop
    expect(waiting(nothing, 0x9c, 0x81, 0x0c, 0x24, imm(IF), 0x9d, NOP, NOP)).toEqual([named(VECTOR, 9)]);
    // mov rax,rsp; push ss; push rax; push 202h; push cs; push next; iretq
    const frame = [
      [0x48, 0x89, 0xe0, 0x6a, 0x10, 0x50, 0x68, imm(IF | 2), 0x6a, 0x08, 0x68, imm(CODE + 20), 0x48, 0xcf],
      [NOP, NOP],
    ];
    expect(waiting(nothing, frame)).toEqual([named(VECTOR, 20)]);
  });
  it("wait for one instruction after MOV SS, also where STI is in front", () => {
    // mov ax,SS0; sti; mov ss,ax; nop; nop
    expect(waiting(nothing, 0x66, 0xb8, imm(SS0, 2), STI, 0x8e, 0xd0, NOP, NOP)).toEqual([named(VECTOR, 8)]);
  });
  it("come quickly to a stack that ends with its page, as Linux's for user code does", () => {
    const answers: number[] = [];
    const g = new Guest({
      cpl: 3,
      engine: ENGINES["interpreter"]!,
      instruments: {
        engine: software(),
        exports: (original) => ({
          ...original,
          deliver64: (...how) => {
            const answer = original.deliver64(...how);
            answers.push(answer);
            return answer;
          },
        }),
        jit: (ports) => new Jit(ports),
      },
    });
    g.addFlags(IF);
    g.interrupt = VECTOR;
    expect(g.run(NOP)[0]).toBe(named(VECTOR, 0));
    // Not 1: the general way, which takes twenty times as long.
    expect(answers[0]).toBe(0);
  });
  it("end a HLT and return behind it", () => {
    const g = new Guest();
    g.load(CODE, [STI, 0xf4, NOP, CLI, 0xf4]);
    expect(g.go()).toEqual([]);
    g.interrupt = VECTOR;
    g.cpu.requestAttention();
    expect(g.go()).toEqual([named(VECTOR, 2)]);
    expect(g.get("rip")).toBe(CODE + 5);
  });
  it("come between the passes of a repeated instruction, which goes on after them", () => {
    const g = new Guest();
    g.addFlags(IF);
    g.set("rdx", 0x80);
    let passes = 0;
    g.onOut = () => {
      if (++passes === 5) {
        g.interrupt = VECTOR;
        g.cpu.requestAttention();
      }
    };
    g.set("rsi", DATA);
    g.set("rcx", 10);
    // rep outsb
    expect(g.run(0xf3, 0x6e)).toEqual([named(VECTOR, 0)]);
    expect([passes, g.get("rcx")]).toEqual([10, 0]);
  });
});

describe("NMIs", () => {
  it("come with IF clear, and not again before IRET", () => {
    const g = new Guest();
    g.nmi = true;
    let inside = 0;
    g.onTrap = () => {
      if (inside++ === 0) {
        g.nmi = true;
        g.cpu.requestAttention();
      }
    };
    expect(g.run(NOP, NOP)).toEqual(["2@0", "2@0"]);
    expect(inside).toBe(2);
    expect(g.get("nmiBlocked")).toBe(0);
  });
  it("stay blocked through other exceptions, until the first IRET", () => {
    const g = new Guest();
    // The NMI handler: int3, then HLT and IRET as all have.
    g.view.setUint16(0x2000 + 2 * 16, CODE + 0x200, true);
    g.view.setUint16(0x2000 + 2 * 16 + 6, CODE >> 16, true);
    g.load(CODE + 0x200, [0xcc, NOP, 0x48, 0xcf]);
    g.nmi = true;
    g.onTrap = () => {
      if (g.traps.length === 1) {
        g.nmi = true;
        g.cpu.requestAttention();
      }
    };
    // INT3's IRET unblocks: the second NMI comes inside the first one's handler.
    expect(g.run(NOP)).toEqual(["3@513", "3@513"]);
    expect(g.get("nmiBlocked")).toBe(0);
  });
});

it("an interrupt that cannot be delivered shuts the processor down before another instruction", () => {
  const g = new Guest();
  g.cpu.r.set("idtr.limit", 0);
  g.addFlags(IF);
  g.interrupt = VECTOR;
  // inc eax
  expect(g.run(0xff, 0xc0)).toEqual(["shutdown"]);
  expect([g.get("rax"), g.cpu.instructions]).toEqual([0, 0]);
});
