import { describe, expect, it } from "vitest";
import { type ElfFields, elf, le32, note } from "../../../tests/kernel-images.ts";
import { GiB, MiB, VivError } from "../../base/index.ts";
import { GuestRam } from "../memory.ts";
import { type BootRequest, loadKernel } from "./index.ts";

const code = Uint8Array.from({ length: 64 }, (_, i) => i);
const vaddr = 0xffffffff81000000n;

const boot = (image: Uint8Array, over: Partial<BootRequest> = {}) => {
  const ram = new GuestRam(new Uint8Array(32 * MiB));
  return { ram, entry: loadKernel(ram, image, { commandLine: "quiet", acpiRsdp: 0, ...over }) };
};

const error = (image: Uint8Array): string => {
  try {
    boot(image);
  } catch (thrown) {
    if (thrown instanceof VivError) return thrown.code;
    throw thrown;
  }
  return "no error";
};

const vmlinux: ElfFields = { bits: 64, entry: 0x1000010, segments: [{ vaddr, paddr: 0x1000000, bytes: code }] };

describe("a vmlinux without a PVH note", () => {
  it("starts at its ELF entry through the 64-bit protocol, with a zero page of its own", () => {
    const { ram, entry } = boot(elf(vmlinux), { initrd: code });
    expect(entry).toMatchObject({ protocol: "linux64", mode: "long64", rip: 0x1000010 });
    expect(ram.view(0x1000000, 64)).toEqual(code);
    const page = ram.view(entry.registers.rsi!, 4096)!;
    const view = new DataView(page.buffer, page.byteOffset);
    expect(view.getUint16(0x1fe, true)).toBe(0xaa55);
    expect(view.getUint32(0x202, true)).toBe(0x53726448);
    expect(view.getUint16(0x206, true)).toBe(0x20f);
    expect(view.getUint8(0x210)).toBe(0xff);
    expect(view.getUint32(0x218, true)).toBe(32 * MiB - 4096);
    expect(new TextDecoder().decode(ram.view(view.getUint32(0x228, true), 6))).toBe("quiet\0");
  });

  it("has its entry translated when it is written as a virtual address", () => {
    const image = elf(vmlinux);
    new DataView(image.buffer).setBigUint64(24, vaddr + 0x11n, true);
    expect(boot(image).entry.rip).toBe(0x1000011);
  });
});

describe("an ELF file that cannot boot", () => {
  it("says so with a stable code", () => {
    const { segments } = vmlinux;
    expect(error(elf({ ...vmlinux, segments: [{ paddr: 0x1000000, bytes: code }] }))).toBe("kernel.not-a-kernel");
    const interpreter = { type: 3, bytes: code };
    expect(error(elf({ ...vmlinux, segments: [...segments, interpreter] }))).toBe("kernel.not-a-kernel");
    expect(error(elf({ ...vmlinux, bits: 32 }))).toBe("kernel.not-a-kernel");
    expect(error(elf({ ...vmlinux, machine: 183 }))).toBe("kernel.unsupported");
    expect(error(elf({ ...vmlinux, type: 1 }))).toBe("kernel.unsupported");
    expect(error(elf({ ...vmlinux, segments: [] }))).toBe("kernel.unsupported");
    expect(error(elf({ ...vmlinux, segments: Array(65).fill(segments[0]) }))).toBe("kernel.unsupported");
    expect(error(elf({ ...vmlinux, entry: 0x2000000 }))).toBe("kernel.damaged");
    expect(error(elf({ ...vmlinux, segments: [{ ...segments[0]!, memsz: 1 }] }))).toBe("kernel.damaged");
    expect(error(elf({ ...vmlinux, segments: [{ ...segments[0]!, memsz: 17 * MiB }] }))).toBe("memory.too-small");
    expect(error(elf({ ...vmlinux, segments: [{ ...segments[0]!, memsz: 4 * GiB }] }))).toBe("kernel.too-big");
    expect(error(elf({ ...vmlinux, segments: Array(64).fill({ ...segments[0]!, memsz: 100 * MiB }) }))).toBe(
      "kernel.too-big",
    );
    expect(error(elf({ ...vmlinux, segments: [...segments, { vaddr, paddr: 0xa0000, bytes: code }] }))).toBe(
      "kernel.unsupported",
    );
    const image = elf(vmlinux);
    for (const length of [4, 51, 63, 100, image.length - 1]) {
      expect(error(image.subarray(0, length))).toBe("kernel.truncated");
    }
  });

  it("does not believe a note that leaves its segment", () => {
    const long = note("Xen", 18, le32(0x1000000));
    new DataView(long.buffer).setUint32(4, 400, true);
    const image = elf({ ...vmlinux, segments: [...vmlinux.segments, { type: 4, bytes: long }] });
    expect(boot(image).entry.protocol).toBe("linux64");
  });
});
