/**
 * Lockstep itself: two interpreters, one at single steps, agree on all that devices, clocks and interrupts do to them; and every
 * kind of error that is planted in one of them is found and named.
 */
import { describe, expect, it } from "vitest";
import { bytes, CODE, DATA, Guest, type GuestOptions, imm, STACK } from "../system/guest.ts";

const NOP = 0x90;
const IF = 0x200;
const SLICES = [1, 7, 100, 5000];

const lockstep = (slice: number, options: GuestOptions = {}) =>
  new Guest({ ...options, engine: { jit: false, slice } });

/** mov ecx,1000; loop: add rax,rcx; mov [rdi+rcx*8],rax; dec ecx; jnz loop */
const LOOP = [0xb9, imm(1000), 0x48, 0x01, 0xc8, 0x48, 0x89, 0x04, 0xcf, 0xff, 0xc9, 0x75, 0xf5];

const LOOP_BYTES = bytes(LOOP).length;

describe.each(SLICES)("two interpreters, compared every %i instructions, agree on", (slice) => {
  it("a loop", () => {
    const g = lockstep(slice);
    g.set("rdi", DATA);
    expect(g.run(LOOP)).toEqual([]);
    expect(g.get("rax")).toBe(500500);
    expect(g.view.getUint32(DATA + 8, true)).toBe(500500);
  });

  it("what devices, the clock and chance answer", () => {
    const g = lockstep(slice);
    g.mapPage(DATA, 0xd000_0007n);
    g.set("rdi", DATA);
    // mov ecx,200; loop: in eax,80h; out 81h,eax; mov ebx,[rdi]; mov [rdi+4],ebx; rdtsc; rdrand eax; dec ecx; jnz loop
    const body = [0xe5, 0x80, 0xe7, 0x81, 0x8b, 0x1f, 0x89, 0x5f, 4, 0x0f, 0x31, 0x0f, 0xc7, 0xf0, 0xff, 0xc9];
    expect(g.run(0xb9, imm(200), body, 0x75, -(body.length + 2) & 0xff)).toEqual([]);
    expect(g.log).toHaveLength(800);
  });

  it("faults, one in another and without an instruction between them", () => {
    const g = lockstep(slice);
    // The first byte of the handler of #UD is not there: #PF on the way, then #UD again.
    g.onTrap = ({ vector }) => {
      if (vector === 6) g.view.setUint32(g.frame(0), g.view.getUint32(g.frame(0), true) + 2, true);
    };
    expect(g.run(0x0f, 0x0b, 0x0f, 0x0b, 0xcc, 0x0f, 0x0b)).toEqual(["6@0", "6@2", "3@5", "6@5"]);
  });

  it("faults that never end", () => {
    const g = lockstep(slice);
    // The handlers of #GP and #DF are not canonical. RDMSR of what is none.
    for (const vector of [8, 13]) g.view.setUint32(0x2000 + vector * 16 + 8, 0x1_0000, true);
    expect(g.run(0xb9, imm(0x1234_5678), 0x0f, 0x32)).toEqual(["shutdown"]);
  });

  it("faults with which a handler begins, until the stack runs through everything", () => {
    const g = lockstep(slice);
    g.view.setUint32(0x2000 + 6 * 16, (8 << 16) | CODE, true);
    g.view.setUint32(0x2000 + 6 * 16 + 4, 0xee00 | CODE, true);
    expect(g.run(0x0f, 0x0b).at(-1)).toMatch(/shutdown|on/);
    expect(g.get("rsp")).toBeLessThan(STACK - 0x1000);
  });

  it("interrupts and NMIs, also several at one place", () => {
    const g = lockstep(slice);
    g.set("rdi", DATA);
    g.onOut = () => {
      g.interrupt = 0x40;
      g.nmi = true;
      g.cpu.requestAttention();
    };
    // Handlers that do not halt: inc qword [DATA + 8 n]; iretq. That of vector 40h is behind a trap gate.
    for (const vector of [2, 0x40]) {
      g.load(0x5_0000 + vector * 16, [0x48, 0xff, 0x04, 0x25, imm(DATA + 8 * vector), 0x48, 0xcf]);
      g.view.setUint32(0x2000 + vector * 16, (8 << 16) | (vector * 16), true);
      g.view.setUint32(0x2000 + vector * 16 + 4, 0x5_8f00, true);
    }
    // sti; mov ecx,50; loop: out 80h,al; nop; cli; out 80h,al; nop; sti; nop; dec ecx; jnz loop
    const body = [0xe6, 0x80, NOP, 0xfa, 0xe6, 0x80, NOP, 0xfb, NOP, 0xff, 0xc9];
    expect(g.run(0xfb, 0xb9, imm(50), body, 0x75, -(body.length + 2) & 0xff)).toEqual([]);
    expect(g.view.getUint32(DATA + 8 * 0x40, true)).toBe(100);
    expect(g.view.getUint32(DATA + 8 * 2, true)).toBe(100);
  });

  it("repeated string instructions over pages, also where the copy is code", () => {
    const g = lockstep(slice);
    // mov esi,CODE; mov edi,DATA; mov ecx,2000; rep movsq; mov edi,DATA; mov ecx,5000; repne scasb; call DATA+16000
    g.load(DATA + 16000, [0xc3]);
    const copy = [0xbe, imm(CODE), 0xbf, imm(DATA), 0xb9, imm(1990), 0xf3, 0x48, 0xa5];
    const scan = [0xbf, imm(DATA), 0xb9, imm(5000), 0xb0, 0xf4, 0xf2, 0xae];
    expect(g.run(copy, scan, 0xb8, imm(DATA + 16000), 0xff, 0xd0, copy)).toEqual([]);
  });

  it("single steps and breakpoints", () => {
    const g = lockstep(slice);
    g.set("rdi", DATA);
    let steps = 0;
    g.onTrap = () => {
      if (++steps === 60) g.view.setUint32(g.frame(2), 2, true);
    };
    g.addFlags(0x100);
    g.run(LOOP);
    expect(steps).toBe(60);
    expect(g.get("rax")).toBe(500500);
  });

  it("16- and 32-bit code", () => {
    const g = lockstep(slice, { mode: "flat32" });
    g.set("rdi", DATA);
    // mov ecx,100; loop: add eax,ecx; add ax,cx; stosw; loop
    expect(g.run(0xb9, imm(100), 0x01, 0xc8, 0x66, 0x01, 0xc8, 0x66, 0xab, 0xe2, 0xf7)).toEqual([]);
  });

  it("what the test itself changes between two runs", () => {
    const g = lockstep(slice);
    g.set("rdi", DATA);
    g.run(LOOP);
    for (const value of [1, 2, 3]) {
      g.set("rip", CODE + 0x100 * value);
      g.cpu.r.set("activity", 0);
      g.set("rax", value);
      g.view.setUint32(DATA + 0x4000, value, true);
      // add rax,[DATA+4000h]; hlt
      g.load(CODE + 0x100 * value, [0x48, 0x03, 0x04, 0x25, imm(DATA + 0x4000), 0xf4]);
      expect(g.go()).toEqual([]);
      expect(g.get("rax")).toBe(2 * value);
    }
  });

  it("a state that is restored", () => {
    const g = lockstep(slice);
    g.set("rdi", DATA);
    g.load(CODE, [LOOP, 0xf4]);
    const saved = g.cpu.save();
    g.go();
    g.cpu.restore(saved);
    expect(g.go()).toEqual([]);
    expect(g.get("rax")).toBe(500500);
  });
});

describe("an error planted in one of them", () => {
  const failure = (work: () => unknown): { code: string; message: string } => {
    try {
      work();
    } catch (thrown) {
      return thrown as { code: string; message: string };
    }
    throw new Error("was not found");
  };

  /** Runs on until a port is written to, where `plant` changes the first vCPU behind the second's back; and then `rest`. */
  const planted = (slice: number, plant: (g: Guest) => void, rest: number[]) => {
    const g = lockstep(slice);
    g.set("rdi", DATA);
    g.onOut = () => plant(g);
    return failure(() => g.run(LOOP, 0xe6, 0x80, rest, 0xeb, 0, NOP, NOP));
  };
  const AFTER = CODE + LOOP_BYTES + 2;
  const patch = (g: Guest, at: number, code: number[]) => {
    g.cpu.writePhysical(BigInt(at), Uint8Array.from(code));
    g.cpu.requestAttention();
  };
  const setByte = (g: Guest, field: string, offset: number, value: number) =>
    new DataView(g.cpu.ram.buffer).setUint8(g.cpu.r.address(field) + offset, value);
  const rows: [what: string, plant: (g: Guest) => void, rest: number[], message: RegExp][] = [
    ["a register", (g) => g.set("rbx", 7), [], /rbx: 0x7, interpreter 0x0/],
    ["a flag", (g) => g.cpu.setEflags(g.cpu.getEflags() ^ 0x800), [], /EFLAGS: 0x8\w+, interpreter 0x/],
    ["the upper half of a vector", (g) => setByte(g, "ymm5", 31, 1), [], /ymm5: 0x1(00){31}, interpreter 0x0/],
    ["a mantissa", (g) => setByte(g, "fpr3", 0, 9), [], /fpr3: 0x9, interpreter 0x0/],
    ["an MSR", (g) => void g.cpu.msrs.set(0x277, 5n), [], /MSR 0x277: 5, interpreter/],
    ["where it goes on", (g) => patch(g, AFTER, [0xeb, 1]), [0xeb, 0, NOP, NOP], /rip: 0x1\w+, interpreter 0x1/],
    ["a byte of RAM", (g) => g.view.setUint8(DATA + 0x3000, 0x5a), [], /RAM 0x23000: 0x5a, interpreter 0x0/],
    [
      "what is written to a port",
      (g) => g.set("rax", 0x99),
      [0xe6, 0x82],
      /the interpreter does: port write 0x82, 1 bytes, value 0x14; compiled code did: port write 0x82, 1 bytes, value 0x99/,
    ],
    [
      "one port for another",
      (g) => patch(g, AFTER, [0xe6, 0x83]),
      [0xe6, 0x82],
      /the interpreter does: port write 0x82, 1 bytes, value 0x14; compiled code did: port write 0x83/,
    ],
    [
      "an access too many",
      (g) => patch(g, AFTER, [0xe6, 0x82]),
      [0x66, 0x90],
      /only compiled code does: port write 0x82/,
    ],
    ["an access too few", (g) => patch(g, AFTER, [0x66, 0x90]), [0xe6, 0x82], /0x82.*compiled code did: nothing more/],
  ];
  it.each(rows)("is found and named: %s", (_, plant, rest, message) => {
    for (const slice of SLICES) {
      const { code, message: text } = planted(slice, plant, rest);
      expect(code).toBe("cpu.lockstep");
      expect(text).toMatch(message);
    }
  });

  it("is found: an interrupt that could not have been taken", () => {
    for (const slice of SLICES.slice(2)) {
      const plant = (g: Guest) => {
        g.interrupt = 0x40;
        g.cpu.r.set("eflags", IF | 2);
        g.cpu.requestAttention();
      };
      expect(planted(slice, plant, []).message).toMatch(
        /took interrupt 64 after \d+ instructions at 0x1\w+; the interpreter did not/,
      );
    }
  });

  it("is shown with the interpreter's last instructions", () => {
    const { message } = planted(1, (g) => g.set("rbx", 7), []);
    expect(message).toContain("0x10010: out 0x80, al");
  });

  it("lies near where it is found, however long the slice", () => {
    const { message } = planted(1, (g) => g.set("rsp", STACK - 8), []);
    expect(message).toMatch(/number 4003 /);
  });
});
