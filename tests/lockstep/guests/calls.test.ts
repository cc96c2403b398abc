/** Calls and returns: compiled code may wait for a call to return, but the guest returns wherever its stack says (SDM vol. 1, 6.4). */
import { describe, expect, it } from "vitest";
import { CODE, imm } from "../../system/guest.ts";
import { type Assembler, CC, RAX, RCX } from "../assembler.ts";
import { HotGuest, PASSES } from "../machine.ts";

const PAGE = 0x1000;
const RET = 0xc3;
/** inc rbx */
const COUNT = [0x48, 0xff, 0xc3];
const CALL_BYTES = 5;
/** A function on a code page of its own. */
const elsewhere = (a: Assembler, name: string, body: readonly number[]) =>
  a
    .align(CODE + 4 * PAGE)
    .label(name)
    .db(...body);

describe("a call", () => {
  it.each([0, 1])("that ends with its page is come back from on the next one (%i: by a register)", (computed) => {
    const g = new HotGuest();
    g.hot((a) => {
      a.mov(RCX, PASSES).mov(RAX, "function").jmp("loop");
      const bytes = computed ? 2 : CALL_BYTES;
      a.align(CODE + PAGE - bytes - COUNT.length)
        .label("loop")
        .db(...COUNT);
      if (computed) a.db(0xff, 0xd0);
      else a.call("function");
      a.db(...COUNT)
        .again("loop")
        .jmp("end");
      elsewhere(a, "function", [...COUNT, RET]);
      a.label("end");
    });
    expect(g.get("rbx")).toBe(3 * PASSES);
  });

  it("that ends with its page comes back from there where nothing of the next one had run before", () => {
    const g = new HotGuest();
    g.hot((a) => {
      a.mov(RCX, PASSES).mov(RAX, "other").jmp("loop");
      a.label("other")
        .db(...COUNT)
        .again("loop")
        .jmp("end");
      a.align(CODE + PAGE - CALL_BYTES)
        .label("loop")
        .call("function");
      a.db(...COUNT, ...COUNT).jmp("other");
      // cmp ecx, half; jbe; mov [rsp],rax: to the next page in the second half only
      elsewhere(a, "function", [0x81, 0xf9, ...imm(PASSES / 2), 0x76, 4, 0x48, 0x89, 0x04, 0x24, RET]);
      a.label("end");
    });
    expect(g.get("rbx")).toBe(2 * PASSES);
  });

  it("goes deeper than any that are waited for", () => {
    const g = new HotGuest();
    g.hot((a) => {
      a.mov(RCX, PASSES).jmp("loop");
      // down: eax levels, each of which counts on its way back
      a.label("down").db(0xff, 0xc8).jcc(CC.z, "bottom").call("down");
      a.label("bottom").db(...COUNT, RET);
      a.label("loop").db(0xb8, imm(500)).call("down").again("loop");
    });
    expect(g.get("rbx")).toBe(500 * PASSES);
  });

  it("is left behind where the stack pointer is set back", () => {
    const g = new HotGuest();
    g.hot((a) => {
      // mov rbp,rsp; the inner function returns to the loop past its caller
      a.mov(RCX, PASSES).db(0x48, 0x89, 0xe5).jmp("loop");
      a.label("middle").call("inner").db(0xf4);
      // lea rsp,[rbp-8]
      a.label("inner").db(...COUNT, 0x48, 0x8d, 0x65, 0xf8, RET);
      a.label("loop").call("middle").again("loop");
    });
    expect(g.get("rbx")).toBe(PASSES);
  });

  it("returns to an address that was put in the place of its own", () => {
    const g = new HotGuest();
    g.hot((a) => {
      a.mov(RCX, PASSES).mov(RAX, "other").jmp("loop");
      a.label("other")
        .db(...COUNT)
        .jmp("next");
      // mov [rsp],rax
      a.label("function").db(0x48, 0x89, 0x04, 0x24, RET);
      a.label("loop").call("function").db(0xf4).label("next").again("loop");
    });
    expect(g.get("rbx")).toBe(PASSES);
  });

  it("comes back to code that it changed", () => {
    const g = new HotGuest();
    g.hot((a) => {
      a.mov(RCX, PASSES).mov(RAX, "value").jmp("loop");
      // add ebx, imm32, its immediate labelled
      a.label("loop").call("function").db(0x81, 0xc3).label("value").db(imm(0)).again("loop").jmp("end");
      // mov [rax],ecx
      elsewhere(a, "function", [0x89, 0x08, RET]);
      a.label("end");
    });
    expect(g.get("rbx")).toBe((PASSES * (PASSES + 1)) / 2);
  });
});
