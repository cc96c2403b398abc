/** Transcendental instructions: against this processor to a unit in the last place, and against exact rounding. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Instruction, instructions, type Machine, machine } from "../../../tests/x87/machine.ts";
import {
  bits64,
  canRecord,
  distance,
  fromRecord,
  fromState,
  load,
  putSt,
  type Random,
  Recorder,
  random,
  start,
  stOf,
} from "../../../tests/x87/recorder.ts";
import { X87_ROWS } from "../../isa/float/x87.ts";

const COUNT = Number(process.env["X87_COUNT"] ?? 1000);
const list = instructions(X87_ROWS);
const find = (mnemonic: string): Instruction => list.find((i) => i.row.mnemonic === mnemonic)!;
/** What part of results is to be identical with plain operands: a little under what was measured. */
const EXPECTED: Record<string, number> = {
  F2XM1: 0.94,
  FYL2X: 0.97,
  FYL2XP1: 0.87,
  FPTAN: 0.91,
  FPATAN: 0.93,
  FSIN: 0.94,
  FCOS: 0.94,
  FSINCOS: 0.92,
};
const NAMES = Object.keys(EXPECTED);

/** A number with its exponent between two, positive or of any sign. */
const between = (r: Random, low: number, high: number, sign: boolean): [bigint, number] => [
  bits64(r) | (1n << 63n),
  ((sign ? r(2) : 0) << 15) | (0x3fff + low + r(high - low + 1)),
];

/** Plain operands inside an instruction's range: ST(0), ST(1). */
function plain(r: Random, mnemonic: string): [bigint, number][] {
  switch (mnemonic) {
    case "F2XM1":
      return [between(r, -8, -1, true), between(r, 0, 0, true)];
    case "FYL2X":
      return [between(r, -10, 10, false), between(r, -3, 3, true)];
    case "FYL2XP1":
      return [between(r, -10, -3, true), between(r, -3, 3, true)];
    default:
      return [between(r, -8, 4, true), between(r, -8, 4, true)];
  }
}

describe.skipIf(!canRecord)(
  "transcendental functions against this processor (needs gcc on Linux on an Intel processor)",
  () => {
    let ours: Machine;
    let silicon: Recorder;
    beforeAll(() => {
      silicon = new Recorder();
      ours = machine(list);
    });
    afterAll(() => silicon.dispose());

    /** Runs records on both and returns how many agree; fails where one does not agree to a last place. */
    function agreement(i: Instruction, records: readonly Uint8Array[], ignore: (r: Uint8Array) => boolean): number {
      const recorded = silicon.run(records);
      let same = 0;
      let of = 0;
      records.forEach((record, n) => {
        if (ignore(record)) return;
        load(ours, record);
        const before = fromState(ours, () => "");
        ours.run(i);
        const [got, want] = [fromState(ours, () => ""), fromRecord(recorded[n]!, () => "")];
        const apart = distance(got, want);
        if (apart === 2) throw new Error(`from ${before}\nwant ${want}\ngot  ${got}`);
        of++;
        if (apart === 0) same++;
      });
      return same / of;
    }
    /** FYL2XP1 is undefined outside |x| < 1 - sqrt(1/2). */
    const outside = (i: Instruction) => (record: Uint8Array) => {
      const [m, se] = stOf(record, 0);
      const magnitude = (BigInt(se & 0x7fff) << 64n) | m;
      return (
        i.row.mnemonic === "FYL2XP1" &&
        magnitude > ((0x3ffdn << 64n) | 0x95f6_1998_0c43_36f7n) &&
        (se & 0x7fff) < 0x7fff
      );
    };

    it.each(NAMES)("%s: edges, flags, masks", (mnemonic) => {
      const i = find(mnemonic);
      const r = random(77);
      const records = Array.from({ length: COUNT }, (_, n) => start(r, i, n % 2 === 0));
      expect(agreement(i, records, outside(i))).toBeGreaterThan(0.95);
    });

    it.each(NAMES)("%s: plain operands", (mnemonic) => {
      const i = find(mnemonic);
      const r = random(78);
      const records = Array.from({ length: COUNT }, () => {
        const record = start(r, i, true);
        const view = new DataView(record.buffer);
        view.setUint32(24, 0xffff_037f, true);
        view.setUint32(28, 0xffff_0000, true);
        view.setUint32(
          32,
          mnemonic === "FYL2X" || mnemonic === "FPATAN" || mnemonic === "FYL2XP1" ? 0xffff_fff0 : 0xffff_fffc,
          true,
        );
        plain(r, mnemonic).forEach((value, st) => {
          putSt(record, st, value);
        });
        return record;
      });
      const same = agreement(i, records, () => false);
      if (process.env["X87_SHOW"]) process.stdout.write(`${mnemonic} ${(100 * same).toFixed(2)} %\n`);
      expect(same).toBeGreaterThan(EXPECTED[mnemonic]!);
    });
  },
);

describe("transcendental functions by known values", () => {
  const ours = machine(list);
  const one: [bigint, number] = [1n << 63n, 0x3fff];
  const times = ([m, se]: [bigint, number], power: number): [bigint, number] => [m, se + power];
  /** ST(0) after an instruction on ST(0), ST(1). */
  function result(mnemonic: string, ...st: [bigint, number][]): [bigint, number] {
    ours.bytes.fill(0, 0, 0x1000);
    ours.call("x87.init");
    for (const value of [...st].reverse()) ours.call("x87.push", value[0], value[1], 0);
    ours.run(find(mnemonic));
    return [BigInt.asUintN(64, ours.call("x87.mantissa", 0) as bigint), ours.call("x87.exponent", 0) as number];
  }

  it("agrees with the constants of SDM vol. 1, 8.3.4, and with roots and polynomials", () => {
    // log2 10, and pi as 4 arctan 1, 2 arctan infinity.
    const ten: [bigint, number] = [0xan << 60n, 0x4002];
    expect(result("FYL2X", ten, one)).toEqual([0xd49a_784b_cd1b_8afen, 0x4000]);
    expect(times(result("FPATAN", one, one), 2)).toEqual([0xc90f_daa2_2168_c235n, 0x4000]);
    expect(times(result("FPATAN", [0n, 0], one), 1)).toEqual([0xc90f_daa2_2168_c235n, 0x4000]);
    // 2^(1/2) - 1, and 2^(1/4) - 1 by two square roots: floor(sqrt(2) 2^127), floor(2^(1/4) 2^127).
    const half = times(one, -1);
    const root = (n: bigint): bigint => {
      let low = 0n;
      for (let bit = 1n << 140n; bit > 0n; bit >>= 1n) if ((low + bit) ** 2n <= n) low += bit;
      return low;
    };
    const square = root(2n << 254n);
    const fourth = root(square << 127n);
    const rounded = (x: bigint): [bigint, number] => {
      const length = x.toString(2).length;
      return [(x + (1n << BigInt(length - 65))) >> BigInt(length - 64), 0x3fff + length - 128];
    };
    expect(result("F2XM1", half)).toEqual(rounded(square - (1n << 127n)));
    expect(result("F2XM1", times(half, -1))).toEqual(rounded(fourth - (1n << 127n)));
    // sin of pi rounded up to 64 bits: a quarter of its last place more than the pi of 66 bits, 2^-64.
    expect(result("FSIN", [0xc90f_daa2_2168_c235n, 0x4000])).toEqual([1n << 63n, 0xbfbf]);
  });
});
