/** Accesses that miss the TLB each time: compiled code leaves for them, and code that does so at each pass is compiled otherwise. */
import { expect, it } from "vitest";
import { DATA, PAGE_TABLES } from "../../system/guest.ts";
import { RBX, RCX } from "../assembler.ts";
import { HotGuest, PASSES } from "../machine.ts";

/** Two pages so far apart have one entry of the TLB between them. */
const FAR = 0x100_0000;
const DIRECTORY = PAGE_TABLES + 0x2000;

it.each([
  ["at each pass", PASSES * 5],
  // Fewer than would have it compiled otherwise.
  ["for a while", PASSES],
])("a loop over two pages that push each other out of the TLB %s", (_, passes) => {
  const g = new HotGuest();
  // What is mapped low is mapped there as well.
  g.view.setBigUint64(DIRECTORY + (FAR >> 21) * 8, g.view.getBigUint64(DIRECTORY, true), true);
  // add rbx,[rdi]; mov [rdi + FAR + 8],rbx; inc dword [rdi]; push rbx; pop qword [rdi + FAR + 16]
  const body = [0x48, 0x03, 0x1f, 0x48, 0x89, 0x9f, 8, 0, 0, 1, 0xff, 0x07, 0x53, 0x8f, 0x87, 16, 0, 0, 1];
  g.hot((a) => a.mov(RBX, 0).mov(RCX, passes).label("loop").db(body).again("loop"));
  const sum = (passes * (passes - 1)) / 2;
  expect([g.word(DATA), g.word(DATA + 8), g.word(DATA + 16), g.get("rbx")]).toEqual([passes, sum, sum, sum]);
});
