/** Fused multiply-add against exact arithmetic on big integers: operands that cancel, tie, and lie at the ends of what is computed quickly. */
import { describe, expect, it } from "vitest";
import { type Exact, exact, fractionBits, nearest, type Rounded } from "../../../tests/exact.ts";
import { noDevices } from "../../../tests/no-devices.ts";
import { Cpu } from "../cpu.ts";
import { memoryPages } from "../memory-map.ts";
import { BINARY32, BINARY64, type Format } from "./format.ts";

const RAM = 0x20_0000;
const CODE = 0x1000;
const OPERANDS = 0x1_0000;
const RESULTS = 0x10_0000;
const MXCSR = 0x8000;
const AFTER = 0x18_0000;
const COUNT = 6000;
const VECTOR = 32;
const PE = 0x20;

function fused(format: Format, a: bigint, b: bigint, c: bigint): Rounded | undefined {
  const [x, y, z] = [exact(format, a), exact(format, b), exact(format, c)];
  const product = { value: x.value * y.value, scale: x.scale + y.scale };
  const scale = Math.min(product.scale, z.scale);
  const at = (n: Exact) => n.value << BigInt(n.scale - scale);
  return nearest(format, { value: at(product) + at(z), scale });
}

/** xorshift64. */
function generator(): () => bigint {
  let x = 88172645463325252n;
  return () => {
    x = BigInt.asUintN(64, x ^ (x << 13n));
    x ^= x >> 7n;
    x = BigInt.asUintN(64, x ^ (x << 17n));
    return x;
  };
}

/** `small`: integers, of which nothing is lost. */
function operands(format: Format, random: () => bigint, small: boolean): [bigint, bigint, bigint] {
  const below = (n: number) => Number(random() % BigInt(n));
  const integer = () => nearest(format, { value: BigInt(below(200) - 100) * 2n + 1n, scale: 0 })!.bits;
  if (small) return [integer(), integer(), integer()];
  const most = 2 ** format.exponentBits - 2;
  const make = (exponent: number): bigint => {
    const all = (1n << BigInt(fractionBits(format))) - 1n;
    const fraction = random() & all;
    // Few bits make ties and exact sums.
    const sparse = [fraction, fraction, fraction & -(1n << BigInt(below(fractionBits(format)))), 0n, all, 1n][
      below(6)
    ]!;
    const biased = BigInt(Math.min(most, Math.max(1, exponent)));
    const sign = BigInt(below(2)) << BigInt(format.exponentBits + fractionBits(format));
    return sign | (biased << BigInt(fractionBits(format))) | sparse;
  };
  const wide = below(4) === 0;
  const [ea, eb] = wide ? [below(most), below(most)] : [format.bias + below(40) - 20, format.bias + below(40) - 20];
  const [a, b] = [make(ea), make(eb)];
  if (below(40) === 0) return [a, 0n, make(ea)];
  const product = nearest(format, {
    value: exact(format, a).value * exact(format, b).value,
    scale: exact(format, a).scale + exact(format, b).scale,
  });
  if (product !== undefined && product.bits > 8n && below(3) === 0) {
    const opposite = product.bits ^ (1n << BigInt(format.exponentBits + fractionBits(format)));
    return [a, b, opposite + BigInt(below(9) - 4)];
  }
  return [a, b, make(ea + eb - format.bias + below(2 * format.precision + 20) - format.precision - 10)];
}

/**
 * Runs VFMADD231 on vectors of four or eight numbers, each from MXCSR as given: the results in the order of the operands, and
 * what MXCSR is after each vector.
 */
function run(format: Format, list: readonly (readonly bigint[])[], mxcsr: number) {
  const pages = memoryPages(RAM);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const cpu = new Cpu({ memory, ramSize: RAM, model: "x86-64-v3", ports: noDevices(), id: 0 });
  const { ram, r } = cpu;
  const view = new DataView(ram.buffer, ram.byteOffset, ram.length);
  const double = format === BINARY64;
  const step = double ? 8 : 4;
  const lanes = VECTOR / step;
  list.forEach((operand, i) => {
    const at = OPERANDS + Math.floor(i / lanes) * 3 * VECTOR + (i % lanes) * step;
    operand.forEach((bits, k) => {
      if (double) view.setBigUint64(at + VECTOR * k, bits, true);
      else view.setUint32(at + VECTOR * k, Number(bits), true);
    });
  });
  view.setUint32(MXCSR, mxcsr, true);
  const code = [
    [0xc5, 0xf8, 0xae, 0x12], // vldmxcsr [edx]
    [0xc5, 0xfc, 0x10, 0x0e], // vmovups ymm1, [esi]
    [0xc5, 0xfc, 0x10, 0x46, 64], // vmovups ymm0, [esi+64]
    [0xc4, 0xe2, double ? 0xf5 : 0x75, 0xb8, 0x46, 32], // vfmadd231pX ymm0, ymm1, [esi+32]
    [0xc5, 0xfc, 0x11, 0x07], // vmovups [edi], ymm0
    [0xc5, 0xf8, 0xae, 0x1b], // vstmxcsr [ebx]
    [0x83, 0xc6, 96], // add esi, 96
    [0x83, 0xc7, 32], // add edi, 32
    [0x83, 0xc3, 4], // add ebx, 4
    [0x49], // dec ecx
    [0x75, 0xd9], // jnz
    [0xf4], // hlt
  ].flat();
  ram.set(code, CODE);
  const groups = list.length / lanes;
  cpu.start({
    mode: "flat32",
    rip: CODE,
    registers: { rcx: groups, rdx: MXCSR, rbx: AFTER, rsi: OPERANDS, rdi: RESULTS },
    gdt: { base: 0, limit: 0 },
    selectors: { cs: 0x10, ss: 0x18 },
  });
  // OSFXSR, OSXMMEXCPT, OSXSAVE.
  r.setPair("cr4", 0x4_0600, 0);
  r.setPair("xcr0", 7, 0);
  cpu.updateMode();
  expect(cpu.run(1_000_000)).toBe("halted");
  const result = (at: number) => (double ? view.getBigUint64(at, true) : BigInt(view.getUint32(at, true)));
  return {
    results: list.map((_, i) => result(RESULTS + i * step)),
    mxcsr: Array.from({ length: groups }, (_, i) => view.getUint32(AFTER + 4 * i, true)),
    lanes,
  };
}

describe.each([
  ["binary32", BINARY32],
  ["binary64", BINARY64],
] as const)("fused multiply-add of %s", (_, format) => {
  const random = generator();
  const list = Array.from({ length: COUNT }, (_, i) => operands(format, random, (i >> 3) % 8 === 0));
  const wanted = list.map(([a, b, c]) => fused(format, a, b, c));

  // WebAssembly's arithmetic is used where PE is set and masked.
  it.each([
    ["set", 0x1fa0],
    ["clear", 0x1f80],
  ] as const)("rounds once, PE being %s", (_way, before) => {
    const { results } = run(format, list, before);
    const wrong = results
      .map((bits, i) => ({ bits, operands: list[i]!, wanted: wanted[i]?.bits }))
      .filter((one) => one.wanted !== undefined && one.bits !== one.wanted)
      .map((one) => [...one.operands, one.bits, one.wanted!].map((x) => x.toString(16)).join(" "));
    expect(wrong).toEqual([]);
  });

  it("reports precision that is lost", () => {
    const { mxcsr, lanes } = run(format, list, 0x1f80);
    const wrong: number[] = [];
    mxcsr.forEach((after, group) => {
      const own = wanted.slice(group * lanes, (group + 1) * lanes);
      // Of overflow, underflow and exact zeros this knows less.
      if (own.includes(undefined) || after & 0x18) return;
      if (((after & PE) !== 0) !== own.some((one) => one!.inexact)) wrong.push(group);
    });
    expect(wrong).toEqual([]);
    expect(mxcsr.filter((after) => (after & PE) === 0).length).toBeGreaterThan(0);
  });
});
