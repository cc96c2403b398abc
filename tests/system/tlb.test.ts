/** What tells compiled code that translations may have changed. */
import { describe, expect, it } from "vitest";
import { type Bytes, CODE, Guest, imm } from "./guest.ts";

describe("the number of a mapping of code", () => {
  /** Whether it changes while some code runs. */
  const changesBy = (...code: Bytes): boolean => {
    const g = new Guest();
    const before = g.get("codeMap");
    expect(g.run(code)).toEqual([]);
    return g.get("codeMap") !== before;
  };
  it("stays while nothing is invalidated", () => {
    // mov rax,cr3; mov rax,cr2
    expect(changesBy([0x0f, 0x20, 0xd8, 0x0f, 0x20, 0xd0])).toBe(false);
  });
  const changes: readonly [string, Bytes][] = [
    ["INVLPG of a page of code", [0x0f, 0x01, 0x3c, 0x25, imm(CODE)]],
    ["a load of CR3", [0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8]],
    // mov rax,cr4; btc rax,7; mov cr4,rax
    ["a change of CR4.PGE", [0x0f, 0x20, 0xe0, 0x48, 0x0f, 0xba, 0xf8, 7, 0x0f, 0x22, 0xe0]],
    // mov eax,1; mov dr7,rax
    ["a breakpoint", [0xb8, imm(1), 0x0f, 0x23, 0xf8]],
  ];
  for (const [what, code] of changes) {
    it(`changes by ${what}`, () => expect(changesBy(code)).toBe(true));
  }
  it("is another one at another privilege, and the old one again after it", () => {
    const g = new Guest({ cpl: 3 });
    const user = g.get("codeMap");
    const seen: number[] = [];
    g.onTrap = (trap) => {
      seen.push(g.get("codeMap"));
      // Over the instruction, with the handler's IRET.
      g.view.setUint32(g.frame(0), trap.rip + 2, true);
    };
    // ud2; jmp $
    g.load(CODE, [0x0f, 0x0b, 0xeb, 0xfe]);
    expect(g.go()).toEqual(["6@0", "runs on"]);
    expect(seen).not.toEqual([user]);
    expect(g.get("codeMap")).toBe(user);
  });
});
