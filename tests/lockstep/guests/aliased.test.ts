/** Code on a page that is mapped twice: a return leads to where its address says, in whichever of the mappings. */
import { describe, expect, it } from "vitest";
import { imm } from "../../system/guest.ts";
import { CC, RAX, RCX, RSI } from "../assembler.ts";
import { HotGuest, PASSES } from "../machine.ts";

const PAGE = 0x1000;
const FREE = 0x8_0000;
const FIRST = 0x9_0000;
const SECOND = FIRST + PAGE;
/** Deeper than the engine notes calls. */
const DEPTH = 70;

describe("a function on a page that is mapped twice", () => {
  it("returns from one mapping into the other", () => {
    const g = new HotGuest();
    g.mapPage(FIRST, FREE | 7);
    g.mapPage(SECOND, FREE | 7);
    // Calls itself, and says where it went on: dec esi; jz; call; lea rdx,[rip]; ret
    const f = g.assemble(
      (a) => {
        a.label("f").db(0xff, 0xce).jcc(CC.z, "end").call("f");
        a.label("back").db(0x48, 0x8d, 0x15, imm(0)).label("here").label("end").db(0xc3);
      },
      FIRST,
      FREE,
    );
    g.hot((a) => {
      a.mov(RCX, BigInt(PASSES)).label("loop").mov(RSI, BigInt(DEPTH)).call(FIRST);
      a.mov(RAX, "on")
        .db(0x50, 0x68, imm(f.at("back")))
        .mov(RSI, 1n)
        .jmp(SECOND)
        .label("on");
      // sub rdx,here; add rbx,rdx
      a.db(0x48, 0x81, 0xea, imm(f.at("here")), 0x48, 0x01, 0xd3).again("loop");
    });
    expect(g.get("rbx")).toBe(0);
  });
});
