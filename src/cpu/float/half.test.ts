/** Half precision: every half widened, and singles around each half and each middle between two narrowed. */
import { describe, expect, it } from "vitest";
import { exact, nearest } from "../../../tests/exact.ts";
import { noDevices } from "../../../tests/no-devices.ts";
import { Cpu } from "../cpu.ts";
import { memoryPages } from "../memory-map.ts";
import { BINARY16, BINARY32 } from "./format.ts";

const RAM = 0x40_0000;
const CODE = 0x1000;
const MXCSR = 0x8000;
const FROM = 0x10_0000;
const TO = 0x20_0000;
const SIGN = 0x8000;
const INFINITY = 0x7c00;

/** Runs a loop over `bytes` from FROM on; an instruction's source is at [esi], its destination at [edi]. */
function run(
  bytes: Uint8Array,
  code: number[],
  step: number,
  width: number,
  mxcsr: number,
): { out: DataView; mxcsr: number } {
  const pages = memoryPages(RAM);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const cpu = new Cpu({ memory, ramSize: RAM, model: "x86-64-v3", ports: noDevices(), id: 0 });
  const { ram, r } = cpu;
  ram.set(bytes, FROM);
  new DataView(ram.buffer, ram.byteOffset).setUint32(MXCSR, mxcsr, true);
  const load = [0xc5, 0xf8, 0xae, 0x12]; // vldmxcsr [edx]
  const body = [...load, ...code, 0x83, 0xc6, step, 0x83, 0xc7, width, 0x49]; // add esi; add edi; dec ecx
  ram.set([...body, 0x75, 256 - body.length - 2, 0xc5, 0xf8, 0xae, 0x1a, 0xf4], CODE); // jnz; vstmxcsr [edx]; hlt
  cpu.start({
    mode: "flat32",
    rip: CODE,
    registers: { rcx: bytes.length / step, rdx: MXCSR, rsi: FROM, rdi: TO },
    gdt: { base: 0, limit: 0 },
    selectors: { cs: 0x10, ss: 0x18 },
  });
  // OSFXSR, OSXMMEXCPT, OSXSAVE.
  r.setPair("cr4", 0x4_0600, 0);
  r.setPair("xcr0", 7, 0);
  cpu.updateMode();
  expect(cpu.run(10_000_000)).toBe("halted");
  return { out: new DataView(ram.buffer, ram.byteOffset + TO), mxcsr: r.get("mxcsr") };
}

/** vcvtph2ps ymm0,[esi]; vmovups [edi],ymm0 */
const WIDEN = [0xc4, 0xe2, 0x7d, 0x13, 0x06, 0xc5, 0xfc, 0x11, 0x07];
/** vmovups ymm0,[esi]; vcvtps2ph [edi],ymm0,imm8 */
const NARROW = [0xc5, 0xfc, 0x10, 0x06, 0xc4, 0xe3, 0x7d, 0x1d, 0x07];

const isNan = (half: number) => (half & ~SIGN) > INFINITY;

describe("VCVTPH2PS", () => {
  it("is exact for every number", () => {
    const halves = Uint16Array.from({ length: 0x1_0000 }, (_, i) => i);
    const { out } = run(new Uint8Array(halves.buffer), WIDEN, 16, 32, 0x1f80);
    const wrong: string[] = [];
    for (const half of halves) {
      const got = out.getUint32(4 * half, true);
      const [a, b] = [exact(BINARY16, BigInt(half)), exact(BINARY32, BigInt(got))];
      // A NaN is made quiet and keeps its payload.
      const special = 0x7f80_0000 | ((half & 0x3ff) << 13) | (isNan(half) ? 0x40_0000 : 0);
      const fits =
        (half & INFINITY) === INFINITY
          ? (got & 0x7fff_ffff) === special
          : a.value << BigInt(a.scale - b.scale) === b.value;
      if (!fits || got >>> 31 !== half >> 15) wrong.push(`${half.toString(16)}: ${got.toString(16)}`);
    }
    expect(wrong).toEqual([]);
  });
});

describe("VCVTPS2PH", () => {
  // Each half but the largest, the middle to the next, and the singles on either side of both.
  const singles: number[] = [];
  for (let half = 0; half < INFINITY - 1; half += half < 0x480 ? 1 : 7) {
    const bits = (n: number) => new Uint32Array(Float32Array.of(n).buffer)[0]!;
    const value = (n: number) => {
      const { value, scale } = exact(BINARY16, BigInt(n));
      return Number(value) * 2 ** scale;
    };
    const [here, middle] = [bits(value(half)), bits((value(half) + value(half + 1)) / 2)];
    singles.push(here, here + 1, middle - 1, middle, middle + 1);
  }
  while (singles.length % 8 !== 0) singles.push(0);
  const bytes = new Uint8Array(Uint32Array.from(singles, (n, i) => (i % 3 ? n : (n | 0x8000_0000) >>> 0)).buffer);
  const source = new Uint32Array(bytes.buffer);

  // PE set and masked is the quick way for what is normal in both formats.
  it.each([
    ["quick", 0x1fa0],
    ["exact", 0x1f80],
  ] as const)("rounds to nearest (%s)", (_, mxcsr) => {
    for (const imm of [0, 4]) {
      const { out } = run(bytes, [...NARROW, imm], 32, 16, mxcsr);
      const wrong: string[] = [];
      source.forEach((single, i) => {
        const got = BigInt(out.getUint16(2 * i, true));
        const number = exact(BINARY32, BigInt(single));
        const wanted = number.value === 0n ? BigInt((single >>> 31) << 15) : nearest(BINARY16, number)?.bits;
        if (wanted !== got) wrong.push(`${single.toString(16)}: ${got.toString(16)}, ${wanted?.toString(16)}`);
      });
      expect(wrong).toEqual([]);
    }
  });
});
