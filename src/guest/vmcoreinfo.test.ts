import { describe, expect, it } from "vitest";
import { PhysicalMemory } from "./memory.ts";
import { SearchBudget } from "./search-budget.ts";
import { findVmcoreinfo, parseVmcoreinfo } from "./vmcoreinfo.ts";

/** Of Debian's 6.1, shortened. */
const TEXT = `OSRELEASE=6.1.0-56-cloud-amd64
BUILD-ID=3b43fad5034874490492495d552c0af6a5fab235
PAGESIZE=4096
SYMBOL(init_uts_ns)=ffffffff8561b100
OFFSET(uts_namespace.name)=0
SYMBOL(swapper_pg_dir)=ffffffff85610000
NUMBER(phys_base)=-354418688
NUMBER(pgtable_l5_enabled)=1
KERNELOFFSET=2c00000
CRASHTIME=1
`;

describe("VMCOREINFO", () => {
  it("says where the kernel is", () => {
    expect(parseVmcoreinfo(TEXT)).toEqual({
      release: "6.1.0-56-cloud-amd64",
      buildId: "3b43fad5034874490492495d552c0af6a5fab235",
      physBase: -354418688,
      levels: 5,
      symbols: new Map([
        ["init_uts_ns", -0x7a9e_4f00],
        ["swapper_pg_dir", -0x7a9f_0000],
      ]),
    });
  });

  it("is none where its lines are not what they should be", () => {
    expect(parseVmcoreinfo("PAGESIZE=4096\n")).toBeUndefined();
    expect(parseVmcoreinfo("OSRELEASE=x\nPAGESIZE=65536\n")).toBeUndefined();
    const odd =
      "OSRELEASE=x\nPAGESIZE=4096\nBUILD-ID=../..\nNUMBER(phys_base)=1e9\nSYMBOL(a)=fffffffffffffffff\nSYMBOL(b)=-1\n=\n";
    expect(parseVmcoreinfo(odd)).toEqual({
      release: "x",
      buildId: undefined,
      physBase: undefined,
      levels: 4,
      symbols: new Map(),
    });
  });

  it("is found at a page's start or behind the header of a note, and nowhere else", () => {
    const ram = new Uint8Array(16 * 4096);
    const text = new TextEncoder().encode(TEXT);
    for (const at of [0x1000, 0x3018, 0x5020, 0x7001]) ram.set(text, at);
    // To the end of RAM, without a NUL.
    ram.fill(0x20, 15 * 4096);
    ram.set(text, 15 * 4096);
    expect([...findVmcoreinfo(new PhysicalMemory(ram), new SearchBudget())].map(({ levels }) => levels)).toEqual([
      5, 5, 5,
    ]);
  });
});
