import { describe, expect, it } from "vitest";
import { type ElfFields, elf, relocationTables } from "../../../tests/kernel-images.ts";
import { MiB, VivError } from "../../base/index.ts";
import { GuestRam } from "../memory.ts";
import { type BootRequest, isPayload, loadKernel } from "./index.ts";

const LINKED = 0x100_0000;
const ALIGN = 0x20_0000;
const vaddr = 0xffff_ffff_8100_0000n;
const text = new Uint8Array(64);
const view = new DataView(text.buffer);
view.setBigUint64(8, vaddr + 0x20n, true);
view.setUint32(16, 0x8100_0030, true);
view.setUint32(20, 0x7f00_0000, true);
// The sum carries into the upper half.
view.setBigUint64(24, 0x1_ffff_fff0n, true);

const kernel: ElfFields = { bits: 64, entry: LINKED + 4, segments: [{ vaddr, paddr: LINKED, bytes: text }] };
const addresses = (...offsets: number[]): number[] => offsets.map((offset) => 0x8100_0000 + offset);
const followed = (lowered: number[] | undefined): Uint8Array =>
  Buffer.concat([elf(kernel), relocationTables(addresses(8, 24), lowered, addresses(16))]);
const payload = (): Uint8Array => followed(addresses(20));

/** Entropy whose every number is `share` of its range. */
const entropy = (share: number) => ({
  fill: (into: Uint8Array) => new DataView(into.buffer).setUint32(0, Math.floor(share * 0xffff_ffff), true),
});
const RAM = 64 * MiB;

const boot = (image: Uint8Array, over: Partial<BootRequest> = {}) => {
  const ram = new GuestRam(new Uint8Array(RAM));
  const entry = loadKernel(ram, image, { commandLine: "quiet", acpiRsdp: 0, entropy: entropy(1), ...over });
  const loadflags = ram.view(entry.registers.rsi! + 0x211, 1)![0]!;
  return { ram, entry, kaslr: (loadflags & 2) !== 0, words: new DataView(ram.bytes.buffer, entry.rip - 4) };
};

describe("what was inside a bzImage", () => {
  it("is told from a vmlinux by the relocations behind it", () => {
    expect(isPayload(payload())).toBe(true);
    expect(isPayload(elf(kernel))).toBe(false);
    expect(isPayload(Buffer.concat([elf(kernel), new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0])]))).toBe(false);
    expect(isPayload(Buffer.concat([elf(kernel), relocationTables([], [], []), new Uint8Array(8)]))).toBe(false);
  });

  it("is moved up in both spaces, with its relocations applied, and told so", () => {
    const { entry, kaslr, words } = boot(payload());
    const physical = entry.rip - 4 - LINKED;
    expect(entry).toMatchObject({ protocol: "linux64", mode: "long64" });
    expect(physical).toBeGreaterThan(0);
    expect(physical % ALIGN).toBe(0);
    expect(entry.rip + 60 + ALIGN).toBeLessThanOrEqual(RAM);
    const delta = words.getBigUint64(8, true) - (vaddr + 0x20n);
    // The last place in the 1 GiB of the kernel's mapping.
    expect(delta).toBe(BigInt(0x4000_0000 - LINKED - ALIGN));
    expect(words.getUint32(16, true)).toBe(0x8100_0030 + Number(delta));
    expect(words.getUint32(20, true)).toBe(0x7f00_0000 - Number(delta));
    expect(words.getBigUint64(24, true)).toBe(0x1_ffff_fff0n + delta);
    expect(kaslr).toBe(true);
  });

  it("is moved anew at each boot, and not beyond what the initrd needs", () => {
    expect(boot(payload(), { entropy: entropy(0) }).entry.rip).toBe(LINKED + 4);
    expect(boot(payload(), { entropy: entropy(0.5) }).entry.rip).toBeLessThan(boot(payload()).entry.rip);
    const initrd = new Uint8Array(40 * MiB);
    expect(boot(payload(), { initrd }).entry.rip).toBe(LINKED + 4 + 2 * ALIGN);
  });

  it("of a kernel without lowered addresses is moved as well", () => {
    const { words } = boot(followed(undefined));
    expect(words.getUint32(20, true)).toBe(0x7f00_0000);
    expect(words.getUint32(16, true)).toBeGreaterThan(0x8100_0030);
  });

  it("lies where it was linked with nokaslr, and where there is no chance", () => {
    for (const over of [{ commandLine: "quiet nokaslr" }, { entropy: undefined }]) {
      const { entry, kaslr, words } = boot(payload(), over);
      expect(entry.rip).toBe(LINKED + 4);
      expect(words.getBigUint64(8, true)).toBe(vaddr + 0x20n);
      expect(kaslr).toBe(false);
    }
    expect(boot(payload(), { commandLine: "xnokaslr" }).kaslr).toBe(true);
  });

  it("with a relocation that leads out of it is damaged", () => {
    for (const offset of [-1, 61, 1 << 20]) {
      const image = Buffer.concat([elf(kernel), relocationTables([], [], addresses(offset))]);
      expect(() => boot(image)).toThrow(VivError);
    }
  });
});
