/** Calls and returns: compiled code may wait for a call to return, but the guest returns wherever its stack says (SDM vol. 1, 6.4). */
import { describe, expect, it } from "vitest";
import { CODE, imm } from "../../system/guest.ts";
import { CC, RAX, RCX } from "../assembler.ts";
import { ENGINE } from "../engines.ts";
import { HotGuest, PASSES, sum } from "../machine.ts";

const PAGE = 0x1000;
const RET = 0xc3;
/** mov [rsp],rax: another address to return to */
const PUT = [0x48, 0x89, 0x04, 0x24];
/** inc rbx */
const COUNT = [0x48, 0xff, 0xc3];
const CALL_BYTES = 5;
/** A function lies here: too far away to become part of the compiled code that calls it, which has to wait for it. */
const FAR = 0x9_0000;
/** This run's engine, but compared so seldom that calls get deep in between. */
const SELDOM = ENGINE.slice === undefined ? ENGINE : { ...ENGINE, slice: 5000 };

describe("a call", () => {
  it.each([0, 1])("that ends with its page is come back from on the next one (%i: by a register)", (computed) => {
    const g = new HotGuest();
    g.assemble((a) => a.db(COUNT, RET), FAR);
    g.hot((a) => {
      a.mov(RCX, PASSES).mov(RAX, FAR).jmp("loop");
      const bytes = computed ? 2 : CALL_BYTES;
      a.align(CODE + PAGE - bytes - COUNT.length)
        .label("loop")
        .db(...COUNT);
      if (computed) a.db(0xff, 0xd0);
      else a.call(FAR);
      a.db(...COUNT).again("loop");
    });
    expect(g.get("rbx")).toBe(3 * PASSES);
  });

  it("that ends with its page comes back from there where nothing of the next one had run before", () => {
    const g = new HotGuest();
    // cmp ecx, half; jbe: to the next page in the second half only
    g.assemble((a) => a.db(0x81, 0xf9, imm(PASSES / 2), 0x76, 4, PUT, RET), FAR);
    g.hot((a) => {
      a.mov(RCX, PASSES).mov(RAX, "other").jmp("loop");
      a.label("other")
        .db(...COUNT)
        .again("loop")
        .hlt();
      a.align(CODE + PAGE - CALL_BYTES)
        .label("loop")
        .call(FAR);
      a.db(...COUNT, ...COUNT).jmp("other");
    });
    expect(g.get("rbx")).toBe(2 * PASSES);
  });

  it.each([0, 1])("goes deeper than any that are waited for (%i: by way of a function far away)", (far) => {
    const g = new HotGuest({ engine: SELDOM });
    const DOWN = CODE + 0x100;
    g.assemble((a) => a.call(DOWN).db(RET), FAR);
    g.hot((a) => {
      a.mov(RCX, PASSES).jmp("loop");
      // down: eax levels, each of which counts on its way back
      a.align(DOWN).db(0xff, 0xc8).jcc(CC.z, "bottom");
      a.call(far ? FAR : DOWN);
      a.label("bottom").db(...COUNT, RET);
      a.label("loop").db(0xb8, imm(500)).call(DOWN).again("loop");
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

  it.each([0, 1])("returns to an address that was put in the place of its own (%i: by a function far away)", (far) => {
    const g = new HotGuest();
    g.assemble((a) => a.db(PUT, RET), FAR);
    g.hot((a) => {
      a.mov(RCX, PASSES).mov(RAX, "other").jmp("loop");
      a.label("other")
        .db(...COUNT)
        .jmp("next");
      a.label("near").db(PUT, RET);
      a.label("loop")
        .call(far ? FAR : "near")
        .db(0xf4);
      a.label("next").again("loop");
    });
    expect(g.get("rbx")).toBe(PASSES);
  });

  it.each([1, 32])("comes back to code that it changed, every so many passes: %i", (every) => {
    const g = new HotGuest();
    // test cl, every - 1; jnz; mov [rax],ecx
    g.assemble((a) => a.db(0xf6, 0xc1, every - 1, 0x75, 2, 0x89, 0x08, RET), FAR);
    g.hot((a) => {
      a.mov(RCX, PASSES).mov(RAX, "value").jmp("loop");
      // add ebx, imm32, its immediate labelled
      a.label("loop").call(FAR).db(0x81, 0xc3).label("value").db(imm(0)).again("loop");
    });
    // The first passes come before the first change.
    const value = (n: number) => Math.ceil(n / every) * every;
    expect(g.get("rbx")).toBe(sum(PASSES, (n) => (value(n) <= PASSES ? value(n) : 0)));
  });
});
