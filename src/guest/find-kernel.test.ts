import { describe, expect, it } from "vitest";
import { RAM_SIZE, RELEASE, SYNTHETIC_LAYOUTS, syntheticKernel } from "../../tests/guest/synthetic-kernel.ts";
import { gva } from "../base/index.ts";
import { findKernel } from "./find-kernel.ts";
import { RecentKernels } from "./kernel-cache.ts";
import type { LinuxKernel } from "./linux-kernel.ts";
import { PhysicalMemory } from "./memory.ts";

const found = (...given: Parameters<typeof findKernel>): LinuxKernel => {
  const result = findKernel(...given);
  if (!result.found) throw new Error(result.message);
  return result.kernel;
};
const allOf = (kernel: LinuxKernel) =>
  [...kernel.symbols.all()].map(({ start, type, name }) => ({ address: start, type, name }));

describe.each(SYNTHETIC_LAYOUTS)("kallsyms as $kernel writes it", (layout) => {
  it.each([4, 5] as const)("is read with %i levels of page tables", (levels) => {
    const { memory, registers, symbols } = syntheticKernel({ layout, levels });
    const kernel = found(memory, [registers]);
    expect(kernel.from).toBe("registers");
    expect(kernel.release).toBe(RELEASE);
    expect(kernel.symbols.tables.encoding).toBe(layout.encoding);
    expect(allOf(kernel)).toEqual(symbols);
    for (const { name } of symbols) {
      expect(kernel.symbols.address(name)).toBe(symbols.find((symbol) => symbol.name === name)!.address);
    }
    expect(kernel.limits.map(({ code }) => code)).toEqual(["no-types", "no-data-symbols"]);
  });

  it("is found in RAM alone, and by VMCOREINFO", () => {
    for (const levels of [4, 5] as const) {
      for (const vmcoreinfo of [false, true]) {
        const { memory, symbols } = syntheticKernel({ layout, levels, vmcoreinfo });
        const kernel = found(memory, []);
        expect(kernel.from).toBe(vmcoreinfo ? "vmcoreinfo" : "memory");
        expect(allOf(kernel)).toEqual(symbols);
        expect(kernel.buildId).toBe(vmcoreinfo ? "00112233445566778899aabbccddeeff00112233" : undefined);
      }
    }
  });

  it("is not taken from a copy that does not run", () => {
    const { memory, registers, places } = syntheticKernel({ layout, staleCopy: true, physicalMove: 8 });
    for (const kernel of [found(memory, [registers]), found(memory, [])]) {
      expect(kernel.symbols.tables.tokens.start).toBe(places["token_table"]);
      expect(kernel.image.distance).toBe(places["distance"]);
    }
  });

  it("is read without KALLSYMS_ALL", () => {
    const { memory, registers, symbols } = syntheticKernel({ layout, textOnly: true });
    const kernel = found(memory, [registers]);
    expect(allOf(kernel)).toEqual(symbols);
    expect(kernel.release).toBe(RELEASE);
  });
});

const LAYOUT = SYNTHETIC_LAYOUTS[6]!;

describe("a symbol that holds an address", () => {
  const { memory, registers, places } = syntheticKernel({ layout: LAYOUT });
  const { symbols } = found(memory, [registers]);
  const text = places["image"]!;

  it("is the last at or below it, and ends where the next begins", () => {
    expect(symbols.find(gva(text + 0x1000 + 0x101))).toEqual({
      name: "write_object_1",
      type: "t",
      start: text + 0x1100,
      end: text + 0x1200,
    });
  });

  it("is no data, and nothing outside the kernel's text", () => {
    expect(symbols.find(gva(text + 0x9_ffff))?.name).toBe("entry_SYSCALL_64");
    for (const at of [text - 1, text + 0xa_0000, text + 6 * 2 ** 20, 0, 0x1f_b80]) {
      expect(symbols.find(gva(at))).toBeUndefined();
    }
  });

  it("is the last of several names, as in perf", () => {
    expect(symbols.find(gva(text + 0x1000))?.name).toBe("weak_alias_0");
  });
});

describe("a kernel that was found", () => {
  it("is told from the one after a reboot", () => {
    const before = syntheticKernel({ layout: LAYOUT });
    const kernel = found(before.memory, [before.registers]);
    expect(kernel.stillThere([before.registers])).toBe(true);
    const after = syntheticKernel({ layout: LAYOUT, virtualMove: 64, physicalMove: 8 });
    before.ram.set(after.ram);
    expect(kernel.stillThere([after.registers])).toBe(false);
    expect(found(before.memory, [after.registers]).symbols.address("_text")).toBe(after.places["image"]);
  });

  it("is known again by a cache, but only where it is the same byte for byte", () => {
    const cache = new RecentKernels();
    const first = syntheticKernel({ layout: LAYOUT, vmcoreinfo: true });
    const one = found(first.memory, [], cache);
    const moved = syntheticKernel({ layout: LAYOUT, vmcoreinfo: true, virtualMove: 128 });
    const two = found(moved.memory, [], cache);
    expect(two.symbols.tables.names).toBe(one.symbols.tables.names);
    expect(allOf(two)).toEqual(moved.symbols);
    const forged = syntheticKernel({ layout: LAYOUT, vmcoreinfo: true });
    // The last token of the first name.
    const names = forged.places["names"]!;
    forged.ram[names + forged.ram[names]!] = "7".charCodeAt(0);
    const three = found(forged.memory, [], cache);
    expect(three.buildId).toBe(one.buildId);
    expect([...three.symbols.all()][0]!.name).toMatch(/7$/);
    expect(one.symbols.all().next().value?.name).toBe("__per_cpu_start");
  });
});

/** What a process's page tables may be at a bad moment, while it ends: they map the kernel's image in part. */
it("finds a kernel by its own page tables where the vCPU's map it in part", () => {
  for (const vmcoreinfo of [false, true]) {
    const { ram, memory, registers, places } = syntheticKernel({ layout: LAYOUT, vmcoreinfo });
    const view = new DataView(ram.buffer);
    const entryOf = (table: number, level: number): number =>
      table + (Math.floor((places["image"]! + 2 ** 48) / 2 ** (12 + 9 * level)) % 512) * 8;
    let from = places["root"]!;
    const root = RAM_SIZE - 3 * 4096;
    let table = root;
    for (let level = 3; ; level--) {
      ram.copyWithin(table, from, from + 4096);
      const entry = entryOf(table, level);
      if (level === 1) {
        view.setBigUint64(entry + 2 * 8, 0n, true);
        view.setBigUint64(entry + 3 * 8, 0n, true);
        break;
      }
      from = view.getUint32(entry, true) & -4096;
      table += 4096;
      view.setUint32(entry, table + 0x63, true);
    }
    const kernel = found(memory, [{ ...registers, cr3: root }]);
    expect(kernel.from).toBe(vmcoreinfo ? "vmcoreinfo" : "memory");
    expect(kernel.release).toBe(RELEASE);
  }
});

describe("where no kernel is found", () => {
  const empty = new PhysicalMemory(new Uint8Array(RAM_SIZE));
  const registers = { cr3: 0, cr4: 0, lstar: gva(0), gsBase: gva(0), kernelGsBase: gva(0) };

  it("says whether none runs yet", () => {
    for (const given of [[], [registers]]) {
      expect(findKernel(empty, given)).toMatchObject({ found: false, code: "no-kernel" });
    }
  });

  it("says that it is no Linux", () => {
    const result = findKernel(empty, [{ ...registers, lstar: gva(-0x7ff_1234_5000) }]);
    expect(result).toMatchObject({ found: false, code: "not-linux" });
    expect(!result.found && result.message).toContain("fffff800edcbb000");
  });

  it("says that it has no symbols", () => {
    const { ram, memory, registers, places } = syntheticKernel({ layout: LAYOUT });
    ram.fill(0, places["token_table"], places["token_index"]);
    expect(findKernel(memory, [registers])).toMatchObject({
      found: false,
      code: "no-kallsyms",
      message: expect.stringContaining(`Linux version ${RELEASE}`),
    });
  });
});
