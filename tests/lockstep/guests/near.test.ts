/** Accesses a constant distance from one before: compiled code may take it that they are on the same page, as long as they are. */
import { beforeEach, describe, expect, it } from "vitest";
import { type Bytes, DATA, imm, PAGE_ENTRIES, STACK } from "../../system/guest.ts";
import { RBX, RCX, RDX } from "../assembler.ts";
import { HotGuest, PASSES } from "../machine.ts";

const PAGE = 0x1000;
const WINDOW = 0x10_0000;
const FREE = 0x8_0000;
/** Pages of the window lie in RAM in this order. */
const ORDER = [6, 1, 4, 3];
const READ_ONLY = 5;
const WRITABLE = 7;

let g: HotGuest;
const mapAll = (flags: number): void => {
  for (const [page, place] of ORDER.entries()) g.mapPage(WINDOW + page * PAGE, (FREE + place * PAGE) | flags);
};
beforeEach(() => {
  g = new HotGuest();
  mapAll(WRITABLE);
  for (let i = 0; i < 8 * PAGE; i += 4) g.view.setUint32(FREE + i, i * 0x9e37, true);
});
/** The quadword in the window at a distance from its start. */
const quad = (offset: number): bigint => {
  let value = 0n;
  for (let byte = 7; byte >= 0; byte--) {
    const at = offset + byte;
    const place = FREE + ORDER[Math.floor(at / PAGE)]! * PAGE + (at % PAGE);
    value = (value << 8n) | BigInt(g.view.getUint8(place));
  }
  return value;
};
/** RBX after PASSES passes of `body`, in which RDX goes up from `start` by `stride`. */
const run = (start: number, stride: number, body: Bytes, before: Bytes = []): bigint => {
  g.hot((a) => {
    a.db(before)
      .mov(RCX, PASSES)
      .mov(RDX, WINDOW + start)
      .mov(RBX, 0)
      .label("loop")
      .db(body);
    a.db(0x48, 0x81, 0xc2, imm(stride)).again("loop");
  });
  return g.cpu.r.getBig("rbx");
};
/** The sum of the quadwords at some distances from where RDX points in each pass. */
const sumOf = (start: number, stride: number, ...distances: number[]): bigint => {
  let sum = 0n;
  for (let pass = 0; pass < PASSES; pass++) {
    for (const distance of distances) sum += quad(start + pass * stride + distance);
  }
  return BigInt.asUintN(64, sum);
};

/** add rbx,[rdx + n] */
const ADD = (n: number) => [0x48, 0x03, 0x5a, n & 0xff];

describe("an access near one before", () => {
  it.each([
    ["is on the next page at times", [0, 24, 72], 8],
    ["is on the page before", [0, -24, -72], 8],
    ["is on two pages", [0, 5, 9], 1],
  ])("%s", (_, distances, stride) => {
    const start = PAGE - 200;
    expect(run(start, stride, distances.flatMap(ADD))).toBe(sumOf(start, stride, ...distances));
  });

  it("goes by other registers that hold the same but for a constant", () => {
    // add rbx,[rdx]; mov rsi,rdx; add rsi,64; add rbx,[rsi]; lea r8,[rsi-96]; add rbx,[r8+8]; sub rsi,56; add rbx,[rsi+16]
    const moved = [
      0x48, 0x89, 0xd6, 0x48, 0x83, 0xc6, 64, 0x48, 0x03, 0x1e, 0x4c, 0x8d, 0x46, 0xa0, 0x49, 0x03, 0x58, 8,
    ];
    const start = PAGE - 100;
    const body = [...ADD(0), ...moved, 0x48, 0x83, 0xee, 56, 0x48, 0x03, 0x5e, 16];
    expect(run(start, 8, body)).toBe(sumOf(start, 8, 0, 64, -24, 24));
  });

  it.each<[string, Bytes, number]>([
    ["of 32 bits", [0x83, 0xc2, 16], 16],
    ["of 16 bits", [0x66, 0x83, 0xc2, 16], 16],
    ["of 8 bits", [0x80, 0xc2, 16], 16],
    ["by a string instruction", [0x48, 0x89, 0xd6, 0x48, 0xad, 0x48, 0x89, 0xf2], 8],
    ["by an exchange", [0x48, 0x8d, 0x42, 16, 0x48, 0x87, 0xc2], 16],
    ["by a condition", [0x48, 0x8d, 0x42, 16, 0x48, 0x39, 0xd0, 0x48, 0x0f, 0x45, 0xd0], 16],
  ])("is elsewhere where the register was changed %s", (_, change, by) => {
    // An addition to the lowest byte carries nothing on.
    expect(run(0, 32, [...ADD(0), change, ...ADD(8), 0x48, 0x83, 0xea, by])).toBe(sumOf(0, 32, 0, by + 8));
  });

  it("is elsewhere where the register was loaded anew", () => {
    // Each node has the address of the next one, 0x208 further, at 8, and a number at 16.
    const nodes = Math.floor((4 * PAGE) / 0x208);
    for (let node = 0; node < nodes; node++) {
      const at = node * 0x208;
      const place = FREE + ORDER[Math.floor(at / PAGE)]! * PAGE + (at % PAGE);
      g.view.setBigUint64(place + 8, BigInt(WINDOW + ((node + 1) % nodes) * 0x208), true);
      g.view.setBigUint64(place + 16, BigInt(node), true);
    }
    let expected = 0;
    for (let pass = 1; pass <= PASSES; pass++) expected += pass % nodes;
    // mov rdx,[rdx+8]; add rbx,[rdx+16]
    expect(run(0, 0, [0x48, 0x8b, 0x52, 8, ...ADD(16)])).toBe(BigInt(expected));
  });

  it("faults where the page may only be read", () => {
    mapAll(READ_ONLY);
    g.set("cr0", g.get("cr0") | 0x1_0000);
    g.cpu.updateMode();
    // push rax; mov rax,cr2; shr eax,12; or byte [rax*8 + entries],2; inc dword [DATA]; pop rax; add rsp,8; iretq
    g.handle(14, (a) => {
      a.db(0x50, 0x0f, 0x20, 0xd0, 0xc1, 0xe8, 12, 0x80, 0x0c, 0xc5, imm(PAGE_ENTRIES), WRITABLE - READ_ONLY);
      a.db(0xff, 0x04, 0x25, imm(DATA), 0x58, 0x48, 0x83, 0xc4, 8, 0x48, 0xcf);
    });
    // add rbx,[rdx]; mov [rdx+8],rcx; mov rax,[rdx]; inc dword [rdx+12]; every page has been read before: mov rax,[page]
    const read = ORDER.flatMap((_, page) => [0x48, 0x8b, 0x04, 0x25, ...imm(WINDOW + page * PAGE)]);
    run(0, 32, [...ADD(0), 0x48, 0x89, 0x4a, 8, 0x48, 0x8b, 0x02, 0xff, 0x42, 12], read);
    expect(g.word(DATA)).toBe(Math.ceil((PASSES * 32) / PAGE));
  });

  it("is not near one that another way made", () => {
    // test cl,1; jz +6; add rbx,[rdx+16]; jmp +8; add rbx,[rdx]; add rbx,[rdx+8]
    const ways = [0xf6, 0xc1, 1, 0x74, 6, ...ADD(16), 0xeb, 8, ...ADD(0), ...ADD(8)];
    let expected = 0n;
    for (let pass = 0; pass < PASSES; pass++) {
      for (const distance of pass % 2 === 0 ? [0, 8] : [16]) expected += quad(pass * 32 + distance);
    }
    expect(run(0, 32, ways)).toBe(BigInt.asUintN(64, expected));
  });

  it.each([
    ["INVLPG", [0x0f, 0x01, 0x3a]],
    ["a load of CR3", [0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8]],
  ])("is elsewhere where %s came between, and the page is another", (_, flush) => {
    const entry = PAGE_ENTRIES + (WINDOW / PAGE) * 8;
    // add rbx,[rdx]; xor qword [entry],other page; flush; add rbx,[rdx+8]
    const other = [0x48, 0x81, 0x34, 0x25, ...imm(entry), ...imm((ORDER[0]! ^ ORDER[2]!) * PAGE)];
    let expected = 0n;
    for (let pass = 0; pass < PASSES; pass++) {
      expected += quad(pass % 2 === 0 ? 0 : 2 * PAGE) + quad(pass % 2 === 0 ? 2 * PAGE + 8 : 8);
    }
    expect(run(0, 0, [...ADD(0), ...other, ...flush, ...ADD(8)])).toBe(BigInt.asUintN(64, expected));
  });

  it("is on the stack, which goes on on another page", () => {
    // mov r8,rsp; lea rsp,[rdx]; push rcx; push rdx; push rcx; add rbx,[rsp+8]; pop rax; pop rsi; add rbx,rsi; pop rsi; mov rsp,r8
    const body = [0x49, 0x89, 0xe0, 0x48, 0x8d, 0x22, 0x51, 0x52, 0x51, 0x48, 0x03, 0x5c, 0x24, 8];
    const start = PAGE - 64;
    const sum = run(start, 1, [...body, 0x58, 0x5e, 0x48, 0x01, 0xf3, 0x5e, 0x4c, 0x89, 0xc4]);
    let expected = 0n;
    for (let pass = 0; pass < PASSES; pass++) expected += 2n * BigInt(WINDOW + start + pass);
    expect([sum, g.get("rsp")]).toEqual([expected, STACK]);
  });

  it("finds code changed by a store near another", () => {
    // The loop changes the immediate of an ADD that runs next: store to data beside it first.
    const at = DATA + 0x800;
    // add rbx,imm8; ret
    g.assemble((a) => a.db(0x48, 0x83, 0xc3, 1, 0xc3), at);
    // lea rsi,[at]; mov [rsi-16],cl; mov [rsi+3],cl; call at
    g.hot((a) => {
      a.mov(RCX, 100).mov(RBX, 0).label("loop");
      a.db(0x48, 0x8d, 0x34, 0x25, imm(at), 0x88, 0x4e, 0xf0, 0x88, 0x4e, 3).call(at).again("loop");
    });
    expect(g.get("rbx")).toBe((100 * 101) / 2);
  });
});
