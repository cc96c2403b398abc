/** Arithmetic in hot code between changes of MXCSR: what was known of its modes is forgotten (isa/float/sse-fast.ts). */
import { describe, expect, it } from "vitest";
import { DATA, imm } from "../../system/guest.ts";
import { RCX, RDX } from "../assembler.ts";
import { HotGuest, PASSES } from "../machine.ts";

const CR4_OSFXSR = 0x200;
const PE = 0x20;
/** Numbers, modes, and what is left: MXCSR, XMM registers. */
const [NUMBERS, MODES, STATUS, RESULTS] = [DATA, DATA + 0x100, DATA + 0x200, DATA + 0x300];

const STEPS: readonly { mxcsr: number; x: number; y: number; result: number; pe: number }[] = [
  { mxcsr: 0x1fa0, x: 0.1, y: 0.2, result: 0.1 + 0.2, pe: PE },
  { mxcsr: 0x1f80, x: 0.1, y: 0.2, result: 0.1 + 0.2, pe: PE },
  { mxcsr: 0x1f80, x: 1, y: 2, result: 3, pe: 0 },
  { mxcsr: 0x1fa0, x: 1, y: 2 ** -60, result: 1, pe: PE },
  // Rounding up.
  { mxcsr: 0x5fa0, x: 1, y: 2 ** -60, result: 1 + 2 ** -52, pe: PE },
  { mxcsr: 0x5f80, x: 1, y: 1, result: 2, pe: 0 },
  { mxcsr: 0x1fa0, x: 0, y: 2 ** -60, result: 2 ** -60, pe: PE },
];

describe("MXCSR in hot code", () => {
  it("decides about every sum anew", () => {
    const g = new HotGuest();
    g.set("cr4", g.get("cr4") | CR4_OSFXSR);
    g.cpu.updateMode();
    STEPS.forEach(({ mxcsr, x, y }, i) => {
      g.view.setFloat64(NUMBERS + 16 * i, x, true);
      g.view.setFloat64(NUMBERS + 16 * i + 8, y, true);
      g.view.setUint32(MODES + 4 * i, mxcsr, true);
    });
    g.hot((a) => {
      a.mov(RCX, PASSES).mov(RDX, DATA).label("loop");
      STEPS.forEach((_, i) => {
        // ldmxcsr [mode]; movsd xmm0,[x]; addsd xmm0,[y]; movsd [result],xmm0; stmxcsr [status]
        a.db(0x0f, 0xae, 0x92, imm(MODES - DATA + 4 * i), 0xf2, 0x0f, 0x10, 0x82, imm(16 * i));
        a.db(0xf2, 0x0f, 0x58, 0x82, imm(16 * i + 8), 0xf2, 0x0f, 0x11, 0x82, imm(RESULTS - DATA + 8 * i));
        a.db(0x0f, 0xae, 0x9a, imm(STATUS - DATA + 4 * i));
      });
      a.again("loop");
    });
    const seen = STEPS.map((_, i) => [g.view.getFloat64(RESULTS + 8 * i, true), g.word(STATUS + 4 * i)]);
    expect(seen).toEqual(STEPS.map(({ mxcsr, result, pe }) => [result, mxcsr | pe]));
  });
});
