/** The x87 in a guest on the software CPU: decoded, executed by the interpreter, with its traps and faults. */
import { beforeAll, describe, expect, it } from "vitest";
import { Guest, OPERAND } from "../../../tests/x87/guest.ts";
import { instructions, type Machine, machine } from "../../../tests/x87/machine.ts";
import { comparable, fromRecord, fromState, load, random, start } from "../../../tests/x87/recorder.ts";
import { X87_ROWS } from "../../isa/float/x87.ts";

const list = instructions(X87_ROWS);
const TS = 8;
const EM = 4;
const PAGING = 0x8000_0031;

describe("x87 in a guest", () => {
  let guest: Guest;
  let alone: Machine;
  beforeAll(() => {
    guest = new Guest();
    alone = machine(list);
  });

  it.each([...new Set(list.map((i) => i.row.mnemonic))])("%s as its meaning alone", (mnemonic) => {
    const r = random(5);
    for (const i of list.filter((one) => one.row.mnemonic === mnemonic)) {
      const records = Array.from({ length: 6 }, (_, n) => start(r, i, n % 2 === 0));
      for (const operand of [OPERAND, OPERAND - 7]) {
        const got = guest.run(records, operand);
        records.forEach((record, n) => {
          load(alone, record);
          alone.run(i);
          const memory = comparable(i);
          expect(fromRecord(got[n]!, memory)).toBe(fromState(alone, memory));
        });
      }
    }
  });

  const code = (...bytes: number[]) => [...bytes, 0xf4];
  const run = (bytes: number[], cr0 = PAGING) =>
    guest.execute(code(...bytes), 0x100000, { rsi: OPERAND, rdi: OPERAND }, cr0);

  it("raises a pending exception at the next waiting instruction", () => {
    // FNINIT; FLDCW [rsi] with IE unmasked; FLD ST(0) of an empty stack, then what comes next.
    const fault = [0xdb, 0xe3, 0xd9, 0x2e, 0xd9, 0xc0];
    guest.view.setUint16(OPERAND, 0x37e, true);
    expect(run([...fault, 0xd9, 0xe8])).toBe(16);
    expect(run([...fault, 0x9b])).toBe(16);
    expect(run([...fault, 0xdf, 0xe0])).toBe(-1);
    expect(guest.cpu.r.get("rax") & 0xffff).toBe(0x80c1);
    expect(run([...fault, 0xdb, 0xe2, 0xd9, 0xe8])).toBe(-1);
    // Where it happened: opcode, instruction pointer.
    expect(run([...fault, 0xdf, 0xe0])).toBe(-1);
    expect(guest.cpu.r.get("fop")).toBe(0x1c0);
    expect(guest.cpu.r.getNumber("fip")).toBe(0x100004);
  });

  it("raises #NM by CR0", () => {
    for (const bits of [TS, EM]) {
      expect(run([0xd9, 0xe8], PAGING | bits)).toBe(7);
      expect(run([0xdf, 0xe0], PAGING | bits)).toBe(7);
      expect(run([0x0f, 0xae, 0x06], PAGING | bits)).toBe(7);
    }
    // FWAIT asks for MP with TS.
    expect(run([0x9b], PAGING | TS)).toBe(-1);
    expect(run([0x9b], PAGING | TS | 2)).toBe(7);
    expect(run([0x9b], PAGING | EM)).toBe(-1);
  });

  it("changes nothing where a store or load faults", () => {
    // FNINIT; FLD1; then an access whose last byte lies in a page that is not there.
    const accesses = [
      [0xdb, 0x3e],
      [0xdd, 0x1e],
      [0xdf, 0x36],
      [0xdb, 0x2e],
      [0xdd, 0x36],
      [0xd9, 0x36],
      [0xdd, 0x26],
    ];
    guest.map(OPERAND, false);
    for (const access of accesses) {
      const at = OPERAND - 4;
      const before = [0x11, 0x22, 0x33, 0x44];
      guest.cpu.ram.set(before, at);
      const vector = guest.execute(code(0xdb, 0xe3, 0xd9, 0xe8, ...access), 0x100000, { rsi: at });
      expect(vector).toBe(14);
      expect([...guest.cpu.ram.subarray(at, at + 4)]).toEqual(before);
      expect([guest.cpu.r.get("ftop"), guest.cpu.r.get("fempty"), guest.cpu.r.get("fcw")]).toEqual([7, 0x7f, 0x37f]);
    }
    guest.map(OPERAND, true);
  });

  it("notes where the last operand was", () => {
    expect(run([0xdb, 0xe3, 0xd9, 0xe8, 0xd8, 0x46, 0x08])).toBe(-1);
    expect(guest.cpu.r.getNumber("fip")).toBe(0x100004);
    expect(guest.cpu.r.getNumber("fdp")).toBe(OPERAND + 8);
    expect([guest.cpu.r.get("fcs"), guest.cpu.r.get("fds")]).toEqual([8, 16]);
  });

  const SAVED = OPERAND + 0x1000;
  /** An area that holds what a processor may load: distinct register bytes, a plain MXCSR. */
  function fill(): void {
    const { view } = guest;
    for (let n = 0; n < 576; n++) view.setUint8(OPERAND + n, (n * 7) & 0xff);
    view.setUint32(OPERAND, 0x0000_037f, true);
    view.setUint32(OPERAND + 4, 0x0123_00ff, true);
    view.setUint32(OPERAND + 24, 0x1fa0, true);
    view.setUint32(OPERAND + 28, 0xffff, true);
    for (let st = 0; st < 8; st++) view.setUint32(OPERAND + 32 + 16 * st + 10, 0, true);
    for (let st = 0; st < 8; st++) view.setUint16(OPERAND + 32 + 16 * st + 14, 0, true);
    for (let at = 512; at < 576; at += 8) view.setBigUint64(OPERAND + at, at === 512 ? 3n : 0n, true);
    guest.cpu.ram.fill(0, SAVED, SAVED + 576);
  }
  const area = (at: number) => [...guest.cpu.ram.subarray(at, at + 416)];

  it.each([
    ["FXRSTOR64, FXSAVE64", [0x48, 0x0f, 0xae, 0x0e], [0x48, 0x0f, 0xae, 0x07]],
    ["XRSTOR64, XSAVE64", [0x48, 0x0f, 0xae, 0x2e], [0x48, 0x0f, 0xae, 0x27]],
    ["FXRSTOR64, XSAVEOPT64", [0x48, 0x0f, 0xae, 0x0e], [0x48, 0x0f, 0xae, 0x37]],
  ])("%s brings all of x87 and SSE back", (_, restore, save) => {
    fill();
    const registers = { rax: 3, rsi: OPERAND, rdi: SAVED };
    expect(guest.execute(code(...restore, ...save), 0x100000, registers)).toBe(-1);
    expect(area(SAVED)).toEqual(area(OPERAND));
  });

  it("refuses areas that are not aligned", () => {
    for (const [instruction, off] of [
      [0x0f, 8],
      [0x0e, 8],
      [0x26, 16],
      [0x2e, 32],
    ] as const) {
      fill();
      const bytes = instruction === 0x0f ? [0x0f, 0xae, 0x06] : [0x0f, 0xae, instruction];
      expect(guest.execute(code(...bytes), 0x100000, { rax: 3, rsi: OPERAND + off })).toBe(13);
    }
  });
});
