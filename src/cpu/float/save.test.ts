/** FXSAVE and XSAVE against the processor the tests run on, and the faults it cannot be asked for there. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  EFLAGS,
  type Instruction,
  instructions,
  type Machine,
  MEMORY_OPERAND,
  machine,
  RAISED,
} from "../../../tests/x87/machine.ts";
import {
  canRecord,
  extended,
  fromRecord,
  fromState,
  load,
  Recorder,
  random,
  start,
  text,
} from "../../../tests/x87/recorder.ts";
import { SAVE_ROWS } from "../../isa/float/save.ts";
import { offsetOf } from "../state.ts";

const list = instructions(SAVE_ROWS);
const find = (mnemonic: string) => list.find((i) => i.row.mnemonic === mnemonic)!;
/** The bytes of an instruction whose operand is at RSI. */
const code = (i: Instruction) => [...(i.row.rexW ? [0x48] : []), 0x0f, ...i.code];

/** Fills the area at [RSI] with a state that can be loaded. The pointers' selectors are deprecated: zero. */
function fill(record: Uint8Array, r: ReturnType<typeof random>, wide: boolean): DataView {
  const area = new DataView(record.buffer, 24 + 112);
  for (let at = 0; at < 576; at += 4) area.setUint32(at, r(0x10000) * 0x10000 + r(0x10000), true);
  area.setUint16(0, r(0x10000), true);
  area.setUint16(2, r(0x10000), true);
  area.setUint32(24, r(0x10000), true);
  for (let st = 0; st < 8; st++) {
    const [m, se] = extended(r);
    area.setBigUint64(32 + 16 * st, m, true);
    area.setUint16(40 + 16 * st, se, true);
  }
  if (wide) {
    area.setBigUint64(8, BigInt(area.getUint32(8, true)), true);
    area.setBigUint64(16, BigInt(area.getUint32(16, true)), true);
  } else {
    area.setUint32(12, 0, true);
    area.setUint32(20, 0, true);
  }
  area.setBigUint64(512, BigInt(r(4)), true);
  for (let at = 520; at < 576; at += 8) area.setBigUint64(at, 0n, true);
  return area;
}

describe.skipIf(!canRecord)("saving against this processor (needs gcc on Linux on an Intel processor)", () => {
  let ours: Machine;
  let silicon: Recorder;
  beforeAll(() => {
    silicon = new Recorder();
    ours = machine(list);
  });
  afterAll(() => silicon.dispose());

  const sequences = [
    ["FXSAVE"],
    ["FXSAVE64"],
    ["XSAVE"],
    ["XSAVE64"],
    ["FXRSTOR", "FXSAVE"],
    ["FXRSTOR64", "FXSAVE64"],
    ["XRSTOR", "FXSAVE"],
    ["XRSTOR64", "FXSAVE64"],
    ["FXRSTOR64", "XSAVE64"],
  ];
  it.each(sequences.map((s) => [s.join(", "), s] as const))("%s", (_, sequence) => {
    const r = random(99);
    const steps = sequence.map(find);
    const wide = steps[0]!.row.rexW === true;
    const records = Array.from({ length: 200 }, () => {
      const record = start(r, steps[0]!, true);
      fill(record, r, wide);
      const bytes = steps.flatMap(code);
      record.set(bytes, 8);
      new DataView(record.buffer).setUint32(0, bytes.length, true);
      return record;
    });
    const restores = sequence.length > 1;
    const recorded = silicon.run(records);
    records.forEach((record, n) => {
      load(ours, record);
      for (const step of steps) ours.run(step);
      const shown = (m: Uint8Array) => {
        const area = m.slice(0, 576);
        // What the recorder's own process left: last pointers, opcode and the XMM registers.
        if (!restores) area.fill(0, 6, 24).fill(0, 160, 416);
        // XSTATE_BV depends on what the processor finds in use.
        area.fill(0, 512, 520);
        return text(area);
      };
      expect(ours.view.getUint32(RAISED, true)).toBe(0);
      expect(fromState(ours, shown)).toBe(fromRecord(recorded[n]!, shown));
    });
  });
});

describe("saving", () => {
  const ours = machine(list);
  const set = (name: string, value: number) => ours.view.setUint32(offsetOf(name), value, true);
  const raised = () => ours.view.getUint32(RAISED, true);
  const byte = (at: number, value: number) => ours.view.setUint8(MEMORY_OPERAND + at, value);

  function run(mnemonic: string, prepare: () => void = () => {}): number {
    ours.bytes.fill(0, 0, EFLAGS + 64);
    for (const [name, value] of [
      ["cr4", 0x40600],
      ["xcr0", 3],
      ["rax", 3],
      ["fcw", 0x37f],
      ["mxcsr", 0x1f80],
    ] as const)
      set(name, value);
    prepare();
    ours.run(find(mnemonic));
    return raised();
  }

  it("raises #UD without CR4.OSXSAVE and #NM with CR0.TS", () => {
    for (const name of ["XSAVE", "XRSTOR64", "XSAVEOPT", "XGETBV", "XSETBV"])
      expect(run(name, () => set("cr4", 0x600))).toBe(6);
    for (const name of ["XSAVE", "XRSTOR64", "XSAVEOPT"]) expect(run(name, () => set("cr0", 8))).toBe(7);
  });

  it("refuses areas that XRSTOR and FXRSTOR must not load", () => {
    expect(run("FXRSTOR", () => byte(26, 1))).toBe(13);
    expect(run("XRSTOR", () => byte(26, 1))).toBe(13);
    // The MXCSR of an area that is not asked for does not matter.
    expect(run("XRSTOR", () => [byte(26, 1), set("rax", 1)])).toBe(0);
    expect(run("XRSTOR", () => byte(512, 4))).toBe(13);
    expect(run("XRSTOR", () => byte(527, 0x80))).toBe(13);
    expect(run("XRSTOR", () => byte(535, 1))).toBe(13);
    expect(run("XRSTOR")).toBe(0);
  });

  it("reads XCR0 by its rules", () => {
    expect(run("XGETBV")).toBe(0);
    expect(ours.view.getUint32(offsetOf("rax"), true)).toBe(3);
    expect(run("XGETBV", () => set("rcx", 1))).toBe(13);
  });

  it("keeps what XSAVE was not asked for", () => {
    expect(run("XSAVE", () => [set("rax", 2), byte(0, 0x55), byte(512, 1)])).toBe(0);
    expect(ours.view.getUint8(MEMORY_OPERAND)).toBe(0x55);
    expect(ours.view.getUint32(MEMORY_OPERAND + 24, true)).toBe(0x1f80);
    expect(ours.view.getUint8(MEMORY_OPERAND + 512)).toBe(3);
  });
});
