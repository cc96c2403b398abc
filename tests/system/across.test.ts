/** Instructions whose bytes lie on two pages: what changes on either page shows the next time they run. */
import { describe, expect, it } from "vitest";
import { type Bytes, CODE, DATA, Guest, imm } from "./guest.ts";

const SECOND = CODE + 0x1000;
const TARGET = SECOND - 3;
const USER_PAGE = 7;

/** call TARGET, from an offset of the code on; five bytes */
const callFrom = (offset: number): Bytes => [0xe8, imm(TARGET - (CODE + offset + 5))];
/** Calls, with something between the second and the third. */
const calls = (between: Bytes, length: number): Bytes => [
  callFrom(0),
  callFrom(5),
  [0x89, 0xc3], // mov ebx,eax
  between,
  callFrom(12 + length),
];

describe("an instruction across two pages", () => {
  const guest = (): Guest => {
    const g = new Guest();
    // mov eax,11223344h; ret
    g.load(TARGET, [0xb8, imm(0x1122_3344), 0xc3]);
    return g;
  };
  it("runs as it was changed on its second page", () => {
    const g = guest();
    // mov byte [SECOND + 1],77h
    expect(g.run(calls([0xc6, 0x04, 0x25, imm(SECOND + 1), 0x77], 8))).toEqual([]);
    expect([g.get("rbx"), g.get("rax")]).toEqual([0x1122_3344, 0x7722_3344]);
  });
  it("runs as it was changed on its first page", () => {
    const g = guest();
    // mov byte [TARGET + 1],77h
    expect(g.run(calls([0xc6, 0x04, 0x25, imm(TARGET + 1), 0x77], 8))).toEqual([]);
    expect([g.get("rbx"), g.get("rax")]).toEqual([0x1122_3344, 0x1122_3377]);
  });
  it("runs as its second page is mapped", () => {
    const g = guest();
    // The other half of another instruction.
    g.load(DATA, [0x66, 0x55, 0xc3]);
    g.onTrap = (trap) => {
      g.mapPage(SECOND, DATA + USER_PAGE);
      g.view.setUint32(g.frame(0), trap.rip + 2, true);
    };
    // ud2; invlpg [SECOND]
    expect(g.run(calls([0x0f, 0x0b, 0x0f, 0x01, 0x3c, 0x25, imm(SECOND)], 10))).toEqual(["6@12"]);
    expect([g.get("rbx"), g.get("rax")]).toEqual([0x1122_3344, 0x5566_3344]);
  });
  it("faults where its second page cannot be fetched", () => {
    const g = guest();
    g.onTrap = (trap) => {
      if (trap.vector === 6) {
        g.mapPage(SECOND, 0);
        g.view.setUint32(g.frame(0), trap.rip + 2, true);
      } else g.mapPage(SECOND, SECOND + USER_PAGE);
    };
    expect(g.run(calls([0x0f, 0x0b, 0x0f, 0x01, 0x3c, 0x25, imm(SECOND)], 10))).toEqual([
      "6@12",
      `14(0)@${TARGET - CODE}`,
    ]);
    expect(g.get("cr2")).toBe(SECOND);
    expect(g.get("rax")).toBe(0x1122_3344);
  });
});
