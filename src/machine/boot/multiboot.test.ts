import { describe, expect, it } from "vitest";
import { elf, multibootHeader } from "../../../tests/kernel-images.ts";
import { MiB, VivError } from "../../base/index.ts";
import { GuestRam } from "../memory.ts";
import { type BootRequest, loadKernel } from "./index.ts";

const boot = (image: Uint8Array, over: Partial<BootRequest> = {}) => {
  const ram = new GuestRam(new Uint8Array(16 * MiB).fill(0xcc));
  const entry = loadKernel(ram, image, { commandLine: "a b", acpiRsdp: 0, ...over });
  return { ram, entry, memory: new DataView(ram.bytes.buffer) };
};

const error = (image: Uint8Array, over: Partial<BootRequest> = {}): string => {
  try {
    boot(image, over);
  } catch (thrown) {
    if (thrown instanceof VivError) return thrown.code;
    throw thrown;
  }
  return "no error";
};

const text = (ram: GuestRam, at: number): string =>
  new TextDecoder().decode(ram.bytes.subarray(at, ram.bytes.indexOf(0, at)));

const withHeader = (header: Uint8Array, length = 256): Uint8Array => {
  const image = new Uint8Array(length).fill(0x90);
  image.set(header, 16);
  return image;
};

const kernel = (bits: 32 | 64, flags = 3) =>
  elf({
    bits,
    entry: 0x100040,
    segments: [{ paddr: 0x100000, bytes: withHeader(multibootHeader(flags)), memsz: 0x2345 }],
  });

describe("Multiboot", () => {
  it.each([32, 64] as const)("enters an ELF%i file in flat 32-bit mode with the magic in EAX", (bits) => {
    const { entry, ram } = boot(kernel(bits));
    expect(entry).toMatchObject({ protocol: "multiboot", mode: "flat32", rip: 0x100040 });
    expect(entry.registers.rax).toBe(0x2badb002);
    expect(ram.view(0x100000, 16)!.every((byte) => byte === 0x90)).toBe(true);
    expect(ram.view(0x100100, 0x2245)!.every((byte) => byte === 0)).toBe(true);
  });

  it("fills the information structure that EBX points at", () => {
    const modules = [
      { bytes: new Uint8Array(5000).fill(1), commandLine: "one x=1" },
      { bytes: new Uint8Array(3).fill(2), commandLine: "two" },
    ];
    const { entry, ram, memory } = boot(kernel(32), { modules, kernelName: "/boot/k" });
    const info = entry.registers.rbx!;
    const u32 = (at: number) => memory.getUint32(at, true);
    expect(u32(info)).toBe(0b10_0100_1101);
    expect([u32(info + 4), u32(info + 8)]).toEqual([639, 15 * 1024]);
    expect(text(ram, u32(info + 16))).toBe("/boot/k a b");
    expect(text(ram, u32(info + 64))).toBe("vivarium");

    expect(u32(info + 20)).toBe(2);
    const list = [0, 16].map((at) => u32(info + 24) + at);
    expect(list.map((at) => text(ram, u32(at + 8)))).toEqual(["one x=1", "two"]);
    expect(list.map((at) => ram.view(u32(at), u32(at + 4) - u32(at)))).toEqual(modules.map((m) => m.bytes));
    // On pages of their own, right after the kernel's zeroed memory.
    expect(list.map((at) => u32(at))).toEqual([0x103000, 0x105000]);

    const map: number[][] = [];
    for (let at = u32(info + 48); at < u32(info + 48) + u32(info + 44); at += u32(at) + 4) {
      expect([u32(at + 8), u32(at + 16)]).toEqual([0, 0]);
      map.push([u32(at), u32(at + 4), u32(at + 12), u32(at + 20)]);
    }
    expect(map).toEqual([
      [20, 0, 0x9fc00, 1],
      [20, 0x9fc00, 0x400, 2],
      [20, 0xe0000, 0x20000, 2],
      [20, 0x100000, 15 * MiB, 1],
    ]);
  });

  it("loads a file that is not ELF by the header's addresses", () => {
    const header = multibootHeader(0x10000, 0x200010, 0x200000, 0x200080, 0x200400, 0x200030);
    const { entry, ram } = boot(withHeader(header));
    expect(entry.rip).toBe(0x200030);
    expect(ram.view(0x200010, header.length)).toEqual(header);
    expect(ram.bytes[0x20007f]).toBe(0x90);
    expect(ram.view(0x200080, 0x380)!.every((byte) => byte === 0)).toBe(true);
    expect(ram.bytes[0x200400]).toBe(0xcc);
    // No end given: the whole file from the place that loads first.
    const skipping = multibootHeader(0x10000, 0x200000, 0x200000, 0, 0, 0x200030);
    const whole = boot(withHeader(skipping)).ram;
    expect(whole.view(0x200000, skipping.length)).toEqual(skipping);
    expect([whole.bytes[0x2000ef], whole.bytes[0x2000f0]]).toEqual([0x90, 0xcc]);
  });

  it("keeps its own tables away from a kernel in low memory", () => {
    const bytes = withHeader(multibootHeader(0), 0x9e000);
    const image = elf({ bits: 32, entry: 0x1000, segments: [{ paddr: 0x1000, bytes }] });
    const { ram, entry } = boot(image);
    expect(Buffer.compare(ram.view(0x1000, bytes.length)!, bytes)).toBe(0);
    expect(entry.registers.rbx).toBeGreaterThanOrEqual(0x9f000);
  });

  it("looks for its header in the first 8 KiB, on 4-byte boundaries, with the right sum", () => {
    const at = (offset: number, header = multibootHeader(0)): Uint8Array => {
      const image = new Uint8Array(0x4000);
      image.set(header, offset);
      return image;
    };
    // A header without addresses in a file that is not ELF: found, and refused for that.
    expect(error(at(8192 - 12))).toBe("kernel.unsupported");
    expect(error(at(8192 - 8))).toBe("kernel.not-a-kernel");
    expect(error(at(18))).toBe("kernel.not-a-kernel");
    const wrong = multibootHeader(0);
    wrong[8] = wrong[8]! ^ 1;
    expect(error(at(16, wrong))).toBe("kernel.not-a-kernel");
  });

  it("refuses what it cannot start", () => {
    expect(error(kernel(32, 8))).toBe("kernel.unsupported");
    const addresses = (...a: number[]) => error(withHeader(multibootHeader(0x10000, ...a)));
    expect(addresses(0x1ffff0, 0x200000, 0, 0, 0x200000)).toBe("kernel.damaged");
    expect(addresses(0x200100, 0x200000, 0, 0, 0x200000)).toBe("kernel.damaged");
    expect(addresses(0x200010, 0x200000, 0x100000, 0, 0x200000)).toBe("kernel.damaged");
    expect(addresses(0x200010, 0x200000, 0, 0x200001, 0x200000)).toBe("kernel.damaged");
    expect(addresses(0x200010, 0x200000, 0, 0, 0x200100)).toBe("kernel.damaged");
    expect(addresses(0x200010, 0x200000, 0x200200, 0, 0x200000)).toBe("kernel.truncated");
    expect(error(withHeader(multibootHeader(0x10000)).subarray(0, 40))).toBe("kernel.truncated");
    expect(addresses(0xfffffff0, 0xffffffe0, 0, 0, 0xffffffe0)).toBe("kernel.too-big");
    expect(addresses(0x2000010, 0x2000000, 0, 0, 0x2000000)).toBe("memory.too-small");
    expect(error(kernel(32), { initrd: new Uint8Array(15 * MiB) })).toBe("initrd.does-not-fit");
    expect(error(kernel(32), { commandLine: "x".repeat(4096) })).toBe("kernel.command-line-too-long");
  });
});
