/** Every condition behind a comparison of numbers in hot code: right behind it, and in blocks further on. */
import { describe, expect, it } from "vitest";
import { DATA, imm } from "../../system/guest.ts";
import { RCX, RDI, RDX } from "../assembler.ts";
import { HotGuest, PASSES } from "../machine.ts";

const CR4_OSFXSR = 0x200;
const PAIRS: readonly (readonly [number, number])[] = [
  [1, 2],
  [2, 1],
  [1, 1],
  [Number.NaN, 1],
  [1, Number.NaN],
  [0, -0],
  [2 ** -1074, 0],
  [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
  [-1e300, -1e-300],
];
/** For each pair, two words: what SETcc said, by condition, and which Jcc jumped. */
const SEEN = DATA + 0x800;
const CONDITIONS = Array.from({ length: 16 }, (_, code) => code);

/** SDM vol. 1, appendix B, of what UCOMISD sets (vol. 2). */
function conditions(x: number, y: number): number {
  const unordered = Number.isNaN(x) || Number.isNaN(y);
  const [cf, zf, pf] = [unordered || x < y, unordered || x === y, unordered];
  const even = [false, cf, zf, cf || zf, false, pf, false, zf];
  return CONDITIONS.reduce((all, code) => all | ((even[code >> 1] ? 1 : 0) ^ (code & 1 ? 1 : 0) ? 1 << code : 0), 0);
}

function run(prefix: readonly number[], opcode: number, mxcsr: number) {
  const g = new HotGuest();
  g.set("cr4", g.get("cr4") | CR4_OSFXSR);
  g.set("mxcsr", mxcsr);
  g.cpu.updateMode();
  const single = prefix.length === 0;
  PAIRS.forEach((pair, i) => {
    pair.forEach((value, j) => {
      if (single) g.view.setFloat32(DATA + 16 * i + 8 * j, value, true);
      else g.view.setFloat64(DATA + 16 * i + 8 * j, value, true);
    });
  });
  g.hot((a) => {
    a.mov(RCX, PASSES).label("start").mov(RDX, DATA).mov(RDI, SEEN).label("loop");
    // movsd xmm1,[rdx]; xor ebx,ebx; xor esi,esi; ucomisd xmm1,[rdx+8]
    a.db(single ? 0xf3 : 0xf2, 0x0f, 0x10, 0x0a, 0x31, 0xdb, 0x31, 0xf6, ...prefix, 0x0f, opcode, 0x4a, 8);
    for (const code of CONDITIONS) {
      // setcc al; movzx eax,al; lea rbx,[rax+rbx*2]
      a.db(0x0f, 0x90 | code, 0xc0, 0x0f, 0xb6, 0xc0, 0x48, 0x8d, 0x1c, 0x58);
    }
    for (const code of CONDITIONS) {
      // lea rsi,[rsi*2]; jcc over: lea rsi,[rsi+1]
      a.db(0x48, 0x8d, 0x34, 0x36);
      a.jcc(code ^ 1, `skip${code}`)
        .db(0x48, 0x8d, 0x76, 1)
        .label(`skip${code}`);
    }
    // mov [rdi],ebx; mov [rdi+4],esi; add rdi,8; add rdx,16; cmp rdx,end; jb loop
    a.db(0x89, 0x1f, 0x89, 0x77, 4, 0x48, 0x83, 0xc7, 8, 0x48, 0x83, 0xc2, 16);
    a.db(0x48, 0x81, 0xfa, imm(DATA + 16 * PAIRS.length))
      .jcc(2, "loop")
      .again("start");
  });
  return { g, seen: PAIRS.map((_, i) => [g.word(SEEN + 8 * i), g.word(SEEN + 8 * i + 4)]) };
}

/** First condition in the highest bit, as the loop gathers them. */
const gathered = (all: number): number => CONDITIONS.reduce((out, code) => out * 2 + ((all >> code) & 1), 0);

describe("flags of compared numbers", () => {
  it.each([
    ["UCOMISD", [0x66], 0x2e, 0x1f80],
    ["COMISD", [0x66], 0x2f, 0x1f80],
    ["UCOMISS", [], 0x2e, 0x1f80],
    ["COMISS", [], 0x2f, 0x1f80],
    ["UCOMISD with DAZ", [0x66], 0x2e, 0x1fc0],
  ] as const)("%s", (name, prefix, opcode, mxcsr) => {
    const { seen, g } = run(prefix, opcode, mxcsr);
    const expected = PAIRS.map(([x, y]) => {
      const [a, b] = name.includes("SS") ? [Math.fround(x), Math.fround(y)] : [x, y];
      return conditions(name.includes("DAZ") && Math.abs(a) < 2 ** -1022 ? 0 : a, b);
    });
    expect(seen).toEqual(expected.map((all) => [gathered(all), gathered(all)]));
    // Denormals are told without DAZ, and COMIS does not like quiet NaNs.
    const flags = (mxcsr & 0x40 || name.includes("SS") ? 0 : 2) | (name.startsWith("C") ? 1 : 0);
    expect(g.get("mxcsr") & 0x3f).toBe(flags);
  });
});
