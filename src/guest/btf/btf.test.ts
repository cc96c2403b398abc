import { describe, expect, it } from "vitest";
import { BtfWriter } from "../../../tests/guest/synthetic-btf.ts";
import { Btf } from "./btf.ts";

/** struct outer { int first; union { struct { int x; int y; }; long both; }; struct inner in; inner_t many[4]; unsigned low:3, high:5; }. */
function sample() {
  const btf = new BtfWriter();
  const int = btf.int("int", 4);
  const long = btf.int("long", 8);
  const point = btf.struct("", 8, [
    { name: "x", type: int, bit: 0 },
    { name: "y", type: int, bit: 32 },
  ]);
  const either = btf.struct(
    "",
    8,
    [
      { name: "", type: point, bit: 0 },
      { name: "both", type: long, bit: 0 },
    ],
    true,
  );
  const pointer = btf.pointer(long);
  const inner = btf.struct("inner", 16, [
    { name: "next", type: pointer, bit: 0 },
    { name: "value", type: btf.constant(long), bit: 64 },
  ]);
  const innerType = btf.typedef("inner_t", inner);
  const many = btf.array(innerType, 4);
  btf.struct("outer", 104, [
    { name: "first", type: int, bit: 0 },
    { name: "", type: either, bit: 64 },
    { name: "in", type: inner, bit: 128 },
    { name: "many", type: many, bit: 256 },
    { name: "low", type: int, bit: 768, bits: 3 },
    { name: "high", type: int, bit: 771, bits: 5 },
  ]);
  btf.enumeration("kind", { KIND_A: 0, KIND_B: 7 });
  btf.enumeration("signed_kind", { KIND_MINUS: -1 }, true);
  btf.enumeration64("wide", { WIDE: 0x1_0000_0002n });
  btf.typedef("wide_t", btf.types - 1);
  return btf;
}
const read = (writer: BtfWriter, base?: Btf): Btf => Btf.read(writer.bytes(), base)!;

describe("types", () => {
  const types = read(sample());

  it("have sizes", () => {
    expect(["outer", "inner", "inner_t", "int", "none"].map((name) => types.sizeOf(name))).toEqual([
      104,
      16,
      16,
      undefined,
      undefined,
    ]);
  });

  it("have members, through what is anonymous, nested or an array, and not through pointers", () => {
    const offsets = {
      first: 0,
      x: 8,
      y: 12,
      both: 8,
      in: 16,
      "in.value": 24,
      many: 32,
      "many[0]": 32,
      "many[3].value": 88,
      low: 96,
      high: 96,
    };
    for (const [path, offset] of Object.entries(offsets))
      expect([path, types.offsetOf("outer", path)]).toEqual([path, offset]);
    for (const path of [
      "many[4]",
      "in.next.value",
      "first.x",
      "low.x",
      "in[0]",
      "",
      ".",
      "in.",
      "none",
      "many.value",
    ]) {
      expect([path, types.offsetOf("outer", path)]).toEqual([path, undefined]);
    }
    expect(types.member("outer", "high")).toMatchObject({ bit: 771, bits: 5 });
    expect(types.memberCount("outer", "many")).toBe(4);
    expect(types.memberSize("outer", "many")).toBe(64);
    expect(types.memberSize("inner", "next")).toBe(8);
    expect(types.memberSize("inner", "value")).toBe(8);
  });

  it("have enumerators", () => {
    expect(types.enumerator("kind", "KIND_B")).toBe(7);
    expect(types.enumerator("signed_kind", "KIND_MINUS")).toBe(-1);
    expect(types.enumerator("wide", "WIDE")).toBe(2 ** 32 + 2);
    expect(types.enumerator("wide_t", "WIDE")).toBe(2 ** 32 + 2);
    expect(types.enumerator("kind", "KIND")).toBeUndefined();
    expect(types.enumerator("outer", "first")).toBeUndefined();
  });

  it("are found however many are asked for", () => {
    const many = new BtfWriter();
    const int = many.int("int", 4);
    for (let i = 1; i < 300; i++) many.struct(`s${i}`, i, [{ name: "m", type: int, bit: 8 * i }]);
    const all = read(many);
    for (let i = 1; i < 300; i++) expect([all.sizeOf(`s${i}`), all.offsetOf(`s${i}`, "m")]).toEqual([i, i]);
  });

  it("of a module go on where the kernel's end", () => {
    const base = sample();
    const kernel = read(base);
    const split = new BtfWriter(base);
    const inner = kernel.member("outer", "in")!.type;
    split.struct("mine", 40, [
      { name: "in", type: inner, bit: 64 },
      { name: "own", type: split.types - 1, bit: 192 },
    ]);
    const types = read(split, kernel);
    expect(types.firstType).toBe(kernel.endType);
    expect(types.offsetOf("mine", "in.value")).toBe(16);
    expect(types.sizeOf("outer")).toBe(104);
    expect(kernel.sizeOf("mine")).toBeUndefined();
  });
});

describe("hostile types", () => {
  it("that are made of themselves have an end", () => {
    const btf = new BtfWriter();
    btf.typedef("loop", 1);
    btf.array(2, 1000);
    btf.struct("self", 8, [{ name: "", type: 3, bit: 0 }]);
    btf.struct("left", 8, [
      { name: "", type: 5, bit: 0 },
      { name: "", type: 5, bit: 0 },
    ]);
    btf.struct("right", 8, [
      { name: "", type: 4, bit: 0 },
      { name: "", type: 4, bit: 0 },
    ]);
    btf.struct("arrays", 8, [{ name: "a", type: 2, bit: 0 }]);
    const types = read(btf);
    expect(types.sizeOf("loop")).toBeUndefined();
    for (const name of ["self", "left", "right", "loop"]) expect(types.offsetOf(name, "x.y")).toBeUndefined();
    expect(types.memberSize("arrays", "a")).toBeUndefined();
  });

  it("with counts beyond their end, or of kinds unknown, end the reading", () => {
    for (const kind of [4, 6, 20, 31]) {
      const btf = new BtfWriter();
      btf.struct("before", 4, []);
      btf.raw(kind, 0xffff, 4);
      expect(read(btf).endType).toBe(2);
      expect(read(btf).sizeOf("before")).toBe(4);
    }
  });

  it("in headers that leave the bytes are none", () => {
    const bytes = sample().bytes();
    for (let length = 0; length < bytes.length; length += 7) expect(Btf.read(bytes.slice(0, length))).toBeUndefined();
    for (const at of [0, 2, 7, 11, 15, 19, 23]) {
      const broken = bytes.slice();
      broken[at] = 0xff;
      expect(Btf.read(broken)).toBeUndefined();
    }
  });
});
