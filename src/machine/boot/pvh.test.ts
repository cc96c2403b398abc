import { describe, expect, it } from "vitest";
import { elf, le32, note } from "../../../tests/kernel-images.ts";
import { MiB } from "../../base/index.ts";
import { GuestRam } from "../memory.ts";
import { type BootRequest, loadKernel } from "./index.ts";

const code = new Uint8Array(300).fill(0xf4);
const phys32 = note("Xen", 18, le32(0x100010));
const segments = (...notes: Uint8Array[]) => [
  { paddr: 0x100000, bytes: code, memsz: 0x5000 },
  ...notes.map((bytes) => ({ type: 4, bytes, align: 4 })),
];
const kernel = elf({ bits: 32, entry: 0x100000, segments: segments(phys32) });

const boot = (image: Uint8Array, over: Partial<BootRequest> = {}) => {
  const ram = new GuestRam(new Uint8Array(16 * MiB).fill(0xcc));
  const entry = loadKernel(ram, image, { commandLine: "panic=-1", acpiRsdp: 0xe1000, ...over });
  return { ram, entry, memory: new DataView(ram.bytes.buffer) };
};

const text = (ram: GuestRam, at: number): string =>
  new TextDecoder().decode(ram.bytes.subarray(at, ram.bytes.indexOf(0, at)));

describe("PVH", () => {
  it("enters a 32-bit ELF file at the note's address, its memory loaded and cleared", () => {
    const { ram, entry } = boot(kernel);
    expect(entry).toMatchObject({ protocol: "pvh", mode: "flat32", rip: 0x100010 });
    expect(ram.view(0x100000, 300)).toEqual(code);
    expect(ram.view(0x10012c, 0x5000 - 300)!.every((byte) => byte === 0)).toBe(true);
    expect(ram.bytes[0x105000]).toBe(0xcc);
  });

  it("hands over hvm_start_info version 1 in EBX", () => {
    const initrd = new Uint8Array(4097).fill(7);
    const { ram, entry, memory } = boot(kernel, { initrd, modules: [{ bytes: code, commandLine: "second" }] });
    const info = entry.registers.rbx!;
    const u32 = (at: number) => memory.getUint32(at, true);
    const u64 = (at: number) => Number(memory.getBigUint64(at, true));
    expect([u32(info), u32(info + 4), u32(info + 8), u32(info + 12)]).toEqual([0x336ec578, 1, 0, 2]);
    expect(text(ram, u64(info + 24))).toBe("panic=-1");
    expect(u64(info + 32)).toBe(0xe1000);
    const modules = u64(info + 16);
    expect(ram.view(u64(modules), u64(modules + 8))).toEqual(initrd);
    expect(u64(modules + 16)).toBe(0);
    expect(ram.view(u64(modules + 32), u64(modules + 40))).toEqual(code);
    expect(text(ram, u64(modules + 48))).toBe("second");
    const map = Array.from({ length: u32(info + 48) }, (_, i) => {
      const at = u64(info + 40) + 24 * i;
      return [u64(at), u64(at + 8), u32(at + 16), u32(at + 20)];
    });
    expect(map).toEqual([
      [0, 0x9fc00, 1, 0],
      [0x9fc00, 0x400, 2, 0],
      [0xe0000, 0x20000, 2, 0],
      [0x100000, 15 * MiB, 1, 0],
    ]);
  });

  it("starts with flat segments and a 32-bit task register", () => {
    const { entry, memory } = boot(kernel);
    const descriptor = (selector: number) => memory.getBigUint64(entry.gdt.base + selector, true);
    expect(descriptor(entry.selectors.cs)).toBe(0x00cf9b000000ffffn);
    expect(descriptor(entry.selectors.ds)).toBe(0x00cf93000000ffffn);
    expect(descriptor(entry.selectors.tr)).toBe(0x00008b0000000067n);
    expect(entry.selectors.tr + 7).toBeLessThanOrEqual(entry.gdt.limit);
  });

  it("finds the note behind others, in a 64-bit file where it has eight bytes", () => {
    const notes = new Uint8Array([
      ...note("GNU", 18, le32(1)),
      ...note("Xen", 6, new TextEncoder().encode("linux\0")),
      ...note("Xen", 18, le32(0x100020, 0)),
    ]);
    const image = elf({ bits: 64, entry: 0x100000, segments: segments(notes) });
    expect(boot(image).entry).toMatchObject({ protocol: "pvh", rip: 0x100020 });
  });

  it("wins over the 64-bit protocol when a vmlinux has both", () => {
    const vaddr = 0xffffffff80100000n;
    const image = elf({
      bits: 64,
      entry: 0x100000,
      segments: [{ vaddr, paddr: 0x100000, bytes: code }, ...segments(phys32).slice(1)],
    });
    expect(boot(image).entry.protocol).toBe("pvh");
  });
});
