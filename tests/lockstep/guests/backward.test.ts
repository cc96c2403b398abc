/** Jumps to what lies in front of them and is no loop's beginning: copied code counts them, and may leave with them. */
import { expect, it } from "vitest";
import { imm } from "../../system/guest.ts";
import { CC, RBX, RCX, RSI } from "../assembler.ts";
import { HotGuest, PASSES } from "../machine.ts";

/** So many instructions make a loop too large for a region. */
const PADDING = 300;

it("leave flags that are about to be replaced as they are", () => {
  const g = new HotGuest();
  const passes = 4 * PASSES;
  g.assemble((a) => {
    a.mov(RCX, passes).mov(RBX, 0).mov(RSI, 0).jmp("top");
    // lea rbx,[rbx+1]; test ebx,ebx
    a.label("low").db(0x48, 0x8d, 0x5b, 1, 0x85, 0xdb).jmp("next");
    // mov eax,1; and eax,ecx; cmp eax,esi (0); jz low; test edx,edx
    a.label("top").db(0xb8, imm(1), 0x21, 0xc8, 0x39, 0xf0).jcc(CC.z, "low").label("next").db(0x85, 0xd2);
    a.jmp("rest").label("rest");
    // lea rdx,[rdx+1]
    for (let n = 0; n < PADDING; n++) a.db(0x48, 0x8d, 0x52, 1);
    a.again("top").hlt();
  });
  // Whatever leaves compiled code stops, and is looked at.
  g.finish(1);
  expect(g.get("rbx")).toBe(passes / 2);
});
