/** The x87 against the processor the tests run on: every row is executed there and by its meaning. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Instruction, instructions, type Machine, MEMORY_OPERAND, machine } from "../../../tests/x87/machine.ts";
import {
  canRecord,
  comparable,
  fromRecord,
  fromState,
  load,
  Recorder,
  random,
  start,
} from "../../../tests/x87/recorder.ts";
import { X87_ROWS } from "../../isa/float/x87.ts";
import { offsetOf } from "../state.ts";

/** Cases for each encoding; more on demand. */
const COUNT = Number(process.env["X87_COUNT"] ?? 150);
const TRANSCENDENTAL = new Set("F2XM1 FYL2X FYL2XP1 FPTAN FPATAN FSIN FCOS FSINCOS".split(" "));

describe.skipIf(!canRecord)("x87 against this processor (needs gcc on Linux on an Intel processor)", () => {
  const list = [...instructions(X87_ROWS), ...instructions(X87_ROWS, 16).filter((i) => i.row.attributes.has("size"))];
  let ours: Machine;
  let silicon: Recorder;
  beforeAll(() => {
    silicon = new Recorder();
    ours = machine(list);
  });
  afterAll(() => silicon.dispose());

  const names = [...new Set(list.map((i) => i.row.mnemonic))].filter((name) => !TRANSCENDENTAL.has(name));
  it.each(names)("%s", (mnemonic) => {
    const r = random(0x1234_5678);
    const records: Uint8Array[] = [];
    const of: Instruction[] = [];
    for (const i of list.filter((one) => one.row.mnemonic === mnemonic)) {
      for (let n = 0; n < COUNT; n++) {
        records.push(start(r, i, n % 2 === 0));
        of.push(i);
      }
    }
    const recorded = silicon.run(records);
    const wrong: string[] = [];
    of.forEach((i, n) => {
      const memory = comparable(i);
      load(ours, records[n]!);
      const before = fromState(ours, memory);
      ours.run(i);
      const got = fromState(ours, memory);
      const want = fromRecord(recorded[n]!, memory);
      if (got !== want) wrong.push(`${i.name}\n  from ${before}\n  want ${want}\n  got  ${got}`);
    });
    if (wrong.length) throw new Error(`${wrong.length} of ${of.length} differ:\n${wrong.slice(0, 5).join("\n")}`);
    expect(of.length).toBeGreaterThan(0);
  });
});

describe("x87 environment in real mode", () => {
  const sizes = [32, 16] as const;
  // SDM vol. 1, figures 8-10 and 8-12: linear pointers 0x2_3456 and 0x7_89ab, opcode 0x6d5.
  const images: Record<16 | 32, number[]> = {
    32: [0xffff_037f, 0xffff_0000, 0xffff_ffff, 0xffff_3456, 0x0000_26d5, 0xffff_89ab, 0x0000_7000],
    16: [0x037f, 0, 0xffff, 0x3456, 0x26d5, 0x89ab, 0x7000],
  };

  it.each(sizes)("stores and loads %i-bit images", (size) => {
    const list = instructions(X87_ROWS, size);
    const find = (name: string) => list.find((i) => i.row.mnemonic === name)!;
    const ours = machine([find("FNSTENV"), find("FLDENV")]);
    const set = (name: string, value: number) => ours.view.setUint32(offsetOf(name), value, true);
    const get = (name: string) => ours.view.getUint32(offsetOf(name), true);
    ours.call("x87.init");
    set("fip", 0x3456);
    set("fcs", 0x2000);
    set("fdp", 0x9ab);
    set("fds", 0x7800);
    set("fop", 0x6d5);
    ours.run(find("FNSTENV"));
    const words = images[size].map((_, n) =>
      size === 16
        ? ours.view.getUint16(MEMORY_OPERAND + 2 * n, true)
        : ours.view.getUint32(MEMORY_OPERAND + 4 * n, true),
    );
    expect(words).toEqual(images[size]);
    for (const name of ["fip", "fdp", "fop", "fcs"]) set(name, 0);
    ours.run(find("FLDENV"));
    expect([get("fip"), get("fdp"), get("fop"), get("fcs")]).toEqual([0x2_3456, 0x7_89ab, 0x6d5, 0]);
  });
});
