import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bzImage, elf, le32, multibootHeader, note, relocationTables } from "../../../tests/kernel-images.ts";
import { MiB, VivError } from "../../base/index.ts";
import { GuestRam } from "../memory.ts";
import { extractVmlinux, loadKernel } from "./index.ts";

/** Kernel images are files from anywhere: whatever their headers say, loading ends in an entry state or a VivError. */

const code = new Uint8Array(0x800).fill(0xf4);
const vaddr = 0xffffffff81000000n;
const mb = (header: Uint8Array): Uint8Array => {
  const image = code.slice();
  image.set(header, 32);
  return image;
};

const images = {
  bzImage: bzImage({ initSize: 0x10000, payload: { offset: 0x100, length: 0x200 } }),
  "32-bit bzImage": bzImage({ version: 0x209, xloadflags: 0 }),
  PVH: elf({
    bits: 32,
    entry: 0x100000,
    segments: [
      { paddr: 0x100000, bytes: code },
      { type: 4, bytes: note("Xen", 18, le32(0x100000)) },
    ],
  }),
  vmlinux: elf({ bits: 64, entry: 0x1000000, segments: [{ vaddr, paddr: 0x1000000, bytes: code, memsz: 0x9000 }] }),
  payload: Uint8Array.from([
    ...elf({ bits: 64, entry: 0x1000000, segments: [{ vaddr, paddr: 0x1000000, bytes: code, memsz: 0x9000 }] }),
    ...relocationTables([0x81000010], [0x81000020], [0x81000030, 0x81008ffc]),
  ]),
  "Multiboot with addresses": mb(multibootHeader(0x10003, 0x100020, 0x100000, 0, 0x101000, 0x100000)),
  "Multiboot ELF": elf({ bits: 32, entry: 0x100000, segments: [{ paddr: 0x100000, bytes: mb(multibootHeader(3)) }] }),
};

const edge = fc.constantFrom(
  0,
  1,
  2,
  4,
  0x7f,
  0x80,
  0xff,
  0x1000,
  0xa0000,
  0x100000,
  0x7fffffff,
  0x80000000,
  0xffffffff,
);
const edit = fc.record({
  at: fc.nat(0x2a0),
  size: fc.constantFrom(1, 2, 4),
  value: fc.oneof(edge, fc.nat(0xffffffff)),
});

const entropy = { fill: (into: Uint8Array) => void into.fill(0x55) };

describe("a mutated image", () => {
  const bytes = new Uint8Array(24 * MiB);
  const ram = new GuestRam(bytes);
  const untouched = new Uint8Array(0x60000).fill(0xcc);

  it.each(Object.entries(images))("of kind %s ends in an entry state inside RAM or a VivError", (_, image) => {
    let loaded = 0;
    const property = (edits: { at: number; size: number; value: number }[], cut: number) => {
      const mutant = image.slice(0, image.length - cut);
      const view = new DataView(mutant.buffer);
      for (const { at, size, value } of edits) {
        if (at + size > mutant.length) continue;
        if (size === 1) view.setUint8(at, value);
        else if (size === 2) view.setUint16(at, value, true);
        else view.setUint32(at, value, true);
      }
      bytes.fill(0xcc, 0xa0000, 0x100000);
      try {
        const entry = loadKernel(ram, mutant, { commandLine: "x", initrd: code, acpiRsdp: 0xe0000, entropy });
        loaded++;
        expect(ram.offset(entry.rip, 1)).toBeGreaterThanOrEqual(0);
        expect(ram.offset(entry.gdt.base, entry.gdt.limit + 1)).toBeGreaterThanOrEqual(0);
        for (const pointer of [entry.registers.rsi ?? 0, entry.registers.rbx ?? 0]) {
          expect(ram.offset(pointer, 56)).toBeGreaterThanOrEqual(0);
        }
      } catch (error) {
        if (!(error instanceof VivError)) throw error;
      }
      expect(Buffer.compare(bytes.subarray(0xa0000, 0x100000), untouched)).toBe(0);
    };
    fc.assert(fc.property(fc.array(edit, { maxLength: 4 }), fc.oneof(fc.constant(0), fc.nat(image.length)), property), {
      examples: [[[], 0]],
      numRuns: 300,
    });
    expect(loaded).toBeGreaterThan(0);
  });

  it("given to extractVmlinux ends in a VivError", async () => {
    const image = images.bzImage;
    await fc.assert(
      fc.asyncProperty(fc.array(edit, { maxLength: 4 }), fc.nat(0x400), async (edits, cut) => {
        const mutant = image.slice(0, image.length - cut);
        mutant.set([0x02, 0x21, 0x4c, 0x18, 8], 0x900);
        for (const { at, value } of edits) mutant[at] = value;
        await expect(extractVmlinux(mutant, {})).rejects.toBeInstanceOf(VivError);
      }),
    );
  });
});
