/** The x87 against the processor the tests run on: every row is executed there and by its meaning. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Instruction, instructions, type Machine, machine } from "../../../tests/x87/machine.ts";
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

/** Cases for each encoding; more on demand. */
const COUNT = Number(process.env["X87_COUNT"] ?? 150);
const TRANSCENDENTAL = new Set("F2XM1 FYL2X FYL2XP1 FPTAN FPATAN FSIN FCOS FSINCOS".split(" "));

describe.skipIf(!canRecord)("x87 against this processor (needs gcc on Linux on an Intel processor)", () => {
  const list = instructions(X87_ROWS);
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
