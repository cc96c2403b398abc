import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { type Gva, gva } from "../../base/index.ts";
import { AddressSpace, PhysicalMemory } from "../memory.ts";
import { KernelOrc, OrcTable } from "./orc.ts";
import { ORC_FORMATS, type OrcFormat, type OrcKernel, orcFormat } from "./orc-format.ts";

/** Names in asm/orc_types.h. */
const REGISTERS = {
  undefined: "UNDEFINED",
  "previous-sp": "PREV_SP",
  ax: "AX",
  dx: "DX",
  di: "DI",
  bp: "BP",
  sp: "SP",
  r10: "R10",
  r13: "R13",
  "bp-indirect": "BP_INDIRECT",
  "sp-indirect": "SP_INDIRECT",
} as const;
const TYPES = {
  undefined: "UNDEFINED",
  end: "END_OF_STACK",
  call: "CALL",
  regs: "REGS",
  partial: "REGS_PARTIAL",
} as const;

/** The lines of asm/orc_types.h that scripts/orc_hash.sh takes the SHA-1 of, written from one of our tables. */
function headerText({ bases, types, typeBits, endBit }: OrcFormat): string {
  const define = (name: string, value: number): string =>
    `#define ${name}${"\t".repeat(5 - Math.floor((8 + name.length) / 8))}${value}\n`;
  const registers = bases.map((base, number) => define(`ORC_REG_${REGISTERS[base]}`, number)).join("");
  // Until 6.4 types had names of another kind, which are not in the hash.
  const kinds = endBit > 0 ? "" : types.map((type, number) => define(`ORC_TYPE_${TYPES[type]}`, number)).join("");
  const fields = ["sp_reg:4", "bp_reg:4", `type:${typeBits}`, "signal:1", ...(endBit > 0 ? ["end:1"] : [])];
  const [sp, bp, ...rest] = fields;
  const lines = (names: readonly (string | undefined)[]) => names.map((name) => `\tunsigned\t${name};\n`).join("");
  return `${registers}${define("ORC_REG_MAX", 15)}${kinds}struct orc_entry {
\ts16\t\tsp_offset;
\ts16\t\tbp_offset;
#if defined(__LITTLE_ENDIAN_BITFIELD)
${lines(fields)}#elif defined(__BIG_ENDIAN_BITFIELD)
${lines([bp, sp, "unused:4", ...rest.reverse()])}#endif
} __packed;
`;
}

describe("formats of ORC", () => {
  // Debian's 6.12 names itself by the hash of the third; the others are those that kernels' modules carry.
  it.each([2, 3, 4] as const)("version %i has the hash that its definitions have", (version) => {
    const format: OrcFormat = ORC_FORMATS[version];
    const hash = createHash("sha1").update(headerText(format)).digest("hex");
    expect(format.hashes).toContain(hash);
  });
  it("version 3 is the same with and without RAX", () => {
    const format: OrcFormat = ORC_FORMATS[3];
    const hashes = [format, { ...format, bases: format.bases.slice(0, -1) }].map((one) =>
      createHash("sha1").update(headerText(one)).digest("hex"),
    );
    expect(hashes.sort()).toEqual([...format.hashes].sort());
  });

  /** A kernel that knows some symbols, and whose memory begins with some bytes. */
  const kernel = (release: string, bits: number | undefined, signal: boolean, header?: string): OrcKernel => {
    const ram = new Uint8Array(0x10_0000);
    ram.set(Buffer.from(header ?? "", "hex"), 0x1000);
    const view = new DataView(ram.buffer);
    for (let level = 0; level < 3; level++) view.setUint32(0x4000 + level * 0x1000, 0x5000 + level * 0x1000 + 3, true);
    for (let page = 0; page < 256; page++) view.setUint32(0x7000 + page * 8, page * 0x1000 + 3, true);
    const at = (name: string) =>
      header && name === "__start_orc_header" ? 0x1000 : header && name === "__stop_orc_header" ? 0x1014 : undefined;
    const member = (_type: string, name: string) =>
      name === "type" && bits
        ? { bit: 40, bits, type: 1 }
        : name === "signal" && signal
          ? { bit: 42, bits: 1, type: 1 }
          : undefined;
    return {
      release,
      space: new AddressSpace(new PhysicalMemory(ram), 0x4000 as never, 4),
      symbols: { address: (name) => at(name) as Gva | undefined, find: () => undefined },
      types: bits === undefined ? undefined : { member, offsetOf: () => undefined },
    };
  };
  it.each([
    ["6.1.0", 2, false, undefined, 1],
    ["6.3.2", 2, true, undefined, 2],
    ["5.14.0-517.el9", 3, true, undefined, 3],
    ["7.1.0", 3, true, undefined, 4],
    ["4.19.0", undefined, false, undefined, 1],
    ["6.3.0", undefined, false, undefined, 2],
    ["6.6.0", undefined, false, undefined, 3],
    ["7.2.0", undefined, false, undefined, 4],
    // The header is right where the number is not.
    ["7.2.0", 3, true, ORC_FORMATS[3].hashes[1], 3],
    ["7.0.0", 3, true, ORC_FORMATS[4].hashes[0], 4],
    ["6.12.0", 3, true, "00".repeat(20), undefined],
  ] as const)("of %s with %s bits of type, signal %s and header %s is %s", (release, bits, signal, header, version) => {
    expect(orcFormat(kernel(release, bits, signal, header))).toBe(version && ORC_FORMATS[version]);
  });
});

/** A table as it lies in memory: entries of start and three words. */
function table(
  at: number,
  entries: readonly (readonly [number, number, number, number])[],
  format: OrcFormat,
): OrcTable {
  const starts = new DataView(new ArrayBuffer(entries.length * 4));
  const words = new DataView(new ArrayBuffer(entries.length * 6));
  entries.forEach(([start, sp, bp, bits], i) => {
    starts.setInt32(4 * i, start - (at + 4 * i), true);
    words.setInt16(6 * i, sp, true);
    words.setInt16(6 * i + 2, bp, true);
    words.setUint16(6 * i + 4, bits, true);
  });
  return new OrcTable(gva(at), new Uint8Array(starts.buffer), new Uint8Array(words.buffer), format);
}

describe("a table of ORC", () => {
  const text = -(2 ** 31) + 0x100_0000;
  it("gives the last entry that begins at or before an instruction", () => {
    const found = table(
      text + 0x50_0000,
      [
        [text, 8, 0, 5],
        [text + 1, 16, -16, 5 | (1 << 4)],
        // A terminator and a real one: the real one comes last.
        [text + 9, 0, 0, 0],
        [text + 9, 32, 0, 5],
        [text + 20, 0, 0, 0],
      ],
      ORC_FORMATS[1],
    );
    expect(found.find(text - 1)).toBeUndefined();
    expect(found.find(text)).toMatchObject({ spOffset: 8, spBase: "sp", bpBase: "undefined", type: "call" });
    expect(found.find(text + 8)).toMatchObject({ spOffset: 16, bpOffset: -16, bpBase: "previous-sp" });
    expect(found.find(text + 9)).toMatchObject({ spOffset: 32 });
    expect(found.find(text + 5000)).toMatchObject({ type: "undefined" });
  });

  // Bits by the structs of asm/orc_types.h at 4.14, 6.3, 6.4 and 7.1.
  it.each([
    [1, 0x005, { spBase: "sp", type: "call", signal: false }],
    [1, 0x105, { spBase: "sp", type: "regs", signal: true }],
    [1, 0x205, { spBase: "sp", type: "partial", signal: true }],
    [1, 0x400, { spBase: "undefined", type: "end" }],
    [1, 0x000, { type: "undefined" }],
    [1, 0x009, { spBase: "sp-indirect", type: "call" }],
    [2, 0x505, { spBase: "sp", type: "regs", signal: true }],
    [2, 0x105, { spBase: "sp", type: "regs", signal: false }],
    [2, 0x800, { type: "end" }],
    [2, 0x400, { type: "undefined" }],
    [3, 0x214, { spBase: "bp", bpBase: "previous-sp", type: "call", signal: false }],
    [3, 0xb05, { spBase: "sp", type: "regs", signal: true }],
    [3, 0xc05, { spBase: "sp", type: "partial", signal: true }],
    [3, 0x100, { type: "end" }],
    [3, 0x20a, { spBase: "ax", type: "call" }],
    [3, 0x20c, { type: "undefined" }],
    [4, 0x284, { spBase: "bp", bpBase: "previous-sp", type: "call" }],
    [4, 0x20a, { spBase: "bp-indirect", type: "call" }],
    [4, 0xb03, { spBase: "sp", type: "regs", signal: true }],
  ] as const)("of version %i reads bits %i", (version, bits, meant) => {
    expect(table(text, [[text - 16, 0, 0, bits]], ORC_FORMATS[version]).find(text)).toMatchObject(meant);
  });
});

describe("tables of modules", () => {
  it("are forgotten with the modules, and never claim more than all may", () => {
    const reads: number[] = [];
    const count = 4;
    const module = { address: gva(-4096), text: [{ start: gva(-8192), end: gva(-7168) }] };
    const source = {
      release: "6.6.0",
      modules: [module],
      symbols: { address: () => undefined, find: () => undefined, text: { start: gva(-2), end: gva(-1) } },
      types: {
        member: () => undefined,
        offsetOf: (_type: string, name: string) =>
          ["arch.num_orcs", "arch.orc_unwind_ip", "arch.orc_unwind"].indexOf(name) * 8,
      },
      space: {
        u32: () => claimed,
        pointer: () => gva(-8192 - 16),
        bytes: (_at: Gva, length: number) => {
          reads.push(length);
          return new Uint8Array(length).fill(2);
        },
      } as unknown as AddressSpace,
    };
    let claimed: number = count;
    const orc = new KernelOrc(source);
    expect(orc.find(-8000)).toBeUndefined();
    expect(reads).toEqual([count * 4, count * 6]);
    orc.find(-8001);
    orc.find(-9000);
    expect(reads.length).toBe(2);
    source.modules = [module];
    orc.find(-8000);
    expect(reads.length).toBe(4);
    claimed = 0xffff_ffff;
    source.modules = [module, { ...module, address: gva(-5000) }];
    orc.find(-8000);
    expect(reads.length).toBe(4);
  });
});
