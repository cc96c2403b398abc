/** 64-bit operands of system instructions keep their upper half. */
import { describe, expect, it } from "vitest";
import { CODE, DATA, Guest, imm, PAGE_TABLES } from "./guest.ts";

const HIGH = 0x40_0000_0000n;
const REX_W = 0x48;
/** mov rax,value */
const rax = (value: bigint) => [REX_W, 0xb8, imm(value, 8)];

/** Maps the guest's memory a second time at HIGH. */
function mapHigh(g: Guest): void {
  const index = Number((HIGH >> 30n) & 511n);
  g.view.setUint32(PAGE_TABLES + 0x1000 + index * 8, PAGE_TABLES + 0x2000 + 7, true);
}

describe("64-bit operands", () => {
  it("of WRFSBASE and WRGSBASE", () => {
    const g = new Guest();
    g.set("cr4", g.get("cr4") | 0x1_0000);
    const value = 0x7f12_3456_789an;
    expect(g.run(rax(value), 0xf3, REX_W, 0x0f, 0xae, 0xd0, 0xf3, REX_W, 0x0f, 0xae, 0xd8)).toEqual([]);
    expect([g.cpu.r.getBig("fs.base"), g.cpu.r.getBig("gs.base")]).toEqual([value, value]);
  });
  it("of INS and OUTS", () => {
    const g = new Guest();
    mapHigh(g);
    g.set("rdi", HIGH + BigInt(DATA));
    g.set("rsi", HIGH + BigInt(DATA));
    expect(g.run(0x6c, 0x6e)).toEqual([]);
    expect(g.view.getUint8(DATA)).toBe(0x55);
    expect(g.log).toEqual(["in 0 1", "out 0 1 55"]);
    expect(g.cpu.r.getBig("rsi")).toBe(HIGH + BigInt(DATA) + 1n);
  });
  it("of MOV to CR0, CR3, CR4: reserved bits above 31 are #GP", () => {
    for (const n of [0, 3, 4]) {
      const g = new Guest();
      g.onTrap = () => g.set("rip", CODE + 0x100);
      g.load(CODE + 0x100, [0xf4]);
      expect(g.run(rax((1n << 52n) | 0x8000_0031n), 0x0f, 0x22, 0xc0 | (n << 3))).toEqual(["13(0)@10"]);
    }
  });
});
