import { describe, expect, it } from "vitest";
import { bzImage } from "../../../tests/kernel-images.ts";
import { KiB, MiB, VivError } from "../../base/index.ts";
import { GuestRam } from "../memory.ts";
import { type BootRequest, loadKernel } from "./index.ts";

const request = (over: Partial<BootRequest> = {}): BootRequest => ({
  commandLine: "console=ttyS0",
  acpiRsdp: 0xe0000,
  ...over,
});

const boot = (image: Uint8Array, size: number, over: Partial<BootRequest> = {}) => {
  const ram = new GuestRam(new Uint8Array(size));
  const entry = loadKernel(ram, image, request(over));
  const zeroPage = ram.view(entry.registers.rsi ?? 0, 4096)!;
  return { ram, entry, zeroPage, view: new DataView(zeroPage.buffer, zeroPage.byteOffset, 4096) };
};

const codeOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    if (error instanceof VivError) return error.code;
    throw error;
  }
  return "no error";
};

const text = (ram: GuestRam, at: number): string => {
  const end = ram.bytes.indexOf(0, at);
  return new TextDecoder().decode(ram.bytes.subarray(at, end));
};

const e820 = (view: DataView): [start: number, end: number, type: number][] =>
  Array.from({ length: view.getUint8(0x1e8) }, (_, i) => {
    const at = 0x2d0 + 20 * i;
    const start = Number(view.getBigUint64(at, true));
    return [start, start + Number(view.getBigUint64(at + 8, true)), view.getUint32(at + 16, true)];
  });

describe("a bzImage with a 64-bit entry", () => {
  const image = bzImage({ kernel: new Uint8Array(0x3000).map((_, i) => i * 7) });

  it("is copied to its preferred address and entered 0x200 bytes into it", () => {
    const { ram, entry } = boot(image, 64 * MiB);
    expect(entry).toMatchObject({ protocol: "linux64", mode: "long64", rip: 0x1000200 });
    expect(ram.view(0x1000000, 0x3000)).toEqual(image.subarray(4 * 512));
  });

  it("gets a zero page with the setup header, the loader's fields and the command line", () => {
    const { ram, view, zeroPage } = boot(image, 64 * MiB);
    expect(zeroPage.subarray(0x1fe, 0x208)).toEqual(image.subarray(0x1fe, 0x208));
    expect(zeroPage.subarray(0x230, 0x26c)).toEqual(image.subarray(0x230, 0x26c));
    expect(view.getUint8(0x210)).toBe(0xff);
    expect(view.getUint8(0x211)).toBe(0x81);
    expect(view.getUint8(0x1ef)).toBe(0);
    expect(view.getUint32(0x214, true)).toBe(0x1000000);
    expect(view.getBigUint64(0x70, true)).toBe(0xe0000n);
    expect(text(ram, view.getUint32(0x228, true))).toBe("console=ttyS0");
  });

  it("copies no more of the header than its jump instruction covers", () => {
    const short = bzImage({ headerEnd: 0x268 });
    new DataView(short.buffer).setUint32(0x268, 0xdeadbeef, true);
    expect(boot(short, 64 * MiB).view.getUint32(0x268, true)).toBe(0);
  });

  it("is told of RAM below 640 KiB, the reserved area to 1 MiB, and RAM above it", () => {
    expect(e820(boot(image, 64 * MiB).view)).toEqual([
      [0, 0x9fc00, 1],
      [0x9fc00, 0xa0000, 2],
      [0xe0000, 0x100000, 2],
      [0x100000, 64 * MiB, 1],
    ]);
  });

  it("starts on an identity map of 4 GiB and flat 64-bit segments", () => {
    const { ram, entry } = boot(image, 64 * MiB);
    if (entry.mode !== "long64") throw new Error(entry.mode);
    const table = new DataView(ram.bytes.buffer);
    const walk = (address: number): bigint => {
      let at = BigInt(entry.pageTables);
      for (const shift of [39n, 30n, 21n]) {
        const item = table.getBigUint64(Number(at + ((BigInt(address) >> shift) & 511n) * 8n), true);
        expect(item & 3n).toBe(3n);
        expect((item & 0x80n) !== 0n).toBe(shift === 21n);
        at = item & ~0xfffn;
      }
      return at + BigInt(address & 0x1fffff);
    };
    for (const address of [0, 0x12345, 0x1000200, 0x3fffffff, 0x40000000, 0xfee00030, 0xffffffff]) {
      expect(walk(address)).toBe(BigInt(address));
    }
    expect(entry.selectors).toMatchObject({ cs: 0x10, ds: 0x18, es: 0x18, ss: 0x18 });
    expect(entry.gdt.limit).toBe(47);
    expect(table.getBigUint64(entry.gdt.base + 0x10, true)).toBe(0x00af9b000000ffffn);
    expect(table.getBigUint64(entry.gdt.base + 0x18, true)).toBe(0x00cf93000000ffffn);
  });

  it("finds its initrd on the highest pages it may use", () => {
    const initrd = new Uint8Array(5000).fill(0x5a);
    const { ram, view } = boot(image, 64 * MiB, { initrd });
    const at = view.getUint32(0x218, true);
    expect(at).toBe(64 * MiB - 8192);
    expect(view.getUint32(0x21c, true)).toBe(5000);
    expect(ram.view(at, 5000)).toEqual(initrd);
    const limited = boot(bzImage({ initrdAddrMax: 0x37fffff }), 64 * MiB, { initrd });
    expect(limited.view.getUint32(0x218, true)).toBe(0x3800000 - 8192);
  });

  it("never has its initrd inside the room the kernel unpacks into", () => {
    const fits = boot(bzImage({ initSize: 40 * MiB }), 64 * MiB, { initrd: new Uint8Array(8 * MiB) });
    expect(fits.view.getUint32(0x218, true)).toBe(56 * MiB);
    // 15 MiB remain below the kernel at 16 MiB, 8 above it.
    const below = boot(bzImage({ initSize: 40 * MiB }), 64 * MiB, { initrd: new Uint8Array(9 * MiB) });
    expect(below.view.getUint32(0x218, true)).toBe(7 * MiB);
    const image = bzImage({ initSize: 40 * MiB });
    expect(codeOf(() => boot(image, 64 * MiB, { initrd: new Uint8Array(16 * MiB) }))).toBe("initrd.does-not-fit");
  });

  it("moves up to an aligned address when its own is taken, if it is relocatable", () => {
    const reserved = [{ start: 17 * MiB, length: MiB, type: 2 } as const];
    expect(boot(image, 64 * MiB, { reserved }).entry.rip).toBe(18 * MiB + 0x200);
    const fixed = bzImage({ relocatable: 0 });
    expect(codeOf(() => boot(fixed, 64 * MiB, { reserved }))).toBe("kernel.unsupported");
  });
});

describe("a bzImage without a 64-bit entry", () => {
  it("is entered at its start in 32-bit mode with the zero page in ESI", () => {
    const { entry, ram, view } = boot(bzImage({ version: 0x20c, xloadflags: 0 }), 64 * MiB);
    expect(entry).toMatchObject({ protocol: "linux32", mode: "flat32", rip: 0x1000000 });
    expect(view.getUint32(0x202, true)).toBe(0x53726448);
    const gdt = new DataView(ram.bytes.buffer, entry.gdt.base);
    expect(gdt.getBigUint64(0x10, true)).toBe(0x00cf9b000000ffffn);
  });

  it("loads at 1 MiB when it is older than protocol 2.10, with a command line of 255 bytes before 2.06", () => {
    const old = bzImage({ version: 0x204, headerEnd: 0x230, setupSects: 0 });
    expect(boot(old, 64 * MiB).entry.rip).toBe(0x100000);
    expect(boot(old, 64 * MiB, { commandLine: "a".repeat(255) }).entry.rip).toBe(0x100000);
    expect(codeOf(() => boot(old, 64 * MiB, { commandLine: "a".repeat(256) }))).toBe("kernel.command-line-too-long");
  });

  it("is refused when it loads below 1 MiB", () => {
    expect(codeOf(() => boot(bzImage({ loadflags: 0 }), 64 * MiB))).toBe("kernel.unsupported");
    expect(codeOf(() => boot(bzImage({ version: 0x201 }), 64 * MiB))).toBe("kernel.unsupported");
  });
});

describe("what cannot boot", () => {
  const code = (image: Uint8Array, size = 64 * MiB, over: Partial<BootRequest> = {}) =>
    codeOf(() => boot(image, size, over));

  it("says so with a stable code", () => {
    expect(code(new Uint8Array(0))).toBe("kernel.not-a-kernel");
    expect(code(new Uint8Array(4096))).toBe("kernel.not-a-kernel");
    expect(code(bzImage().subarray(0, 0x220))).toBe("kernel.truncated");
    expect(code(bzImage().subarray(0, 0x900))).toBe("kernel.truncated");
    expect(code(bzImage().subarray(0, 0x3000))).toBe("kernel.truncated");
    expect(code(bzImage(), 16 * MiB)).toBe("memory.too-small");
    expect(code(bzImage(), 512 * KiB)).toBe("memory.too-small");
    expect(code(bzImage({ initSize: 0xf0000000 }))).toBe("kernel.too-big");
    expect(code(bzImage({ prefAddress: 2 ** 52, relocatable: 0 }))).toBe("kernel.too-big");
    expect(code(bzImage(), 64 * MiB, { commandLine: "x".repeat(2048) })).toBe("kernel.command-line-too-long");
    expect(code(bzImage(), 64 * MiB, { commandLine: "é".repeat(1024) })).toBe("kernel.command-line-too-long");
    expect(code(bzImage(), 64 * MiB, { commandLine: "a\0b" })).toBe("kernel.unsupported");
    const module = { bytes: new Uint8Array(1), commandLine: "" };
    expect(code(bzImage(), 64 * MiB, { modules: [module, module] })).toBe("kernel.unsupported");
  });

  it("takes a command line of exactly the kernel's size, in UTF-8", () => {
    const { ram, view } = boot(bzImage(), 64 * MiB, { commandLine: `x€😀${"y".repeat(2047 - 8)}` });
    expect(text(ram, view.getUint32(0x228, true))).toBe(`x€😀${"y".repeat(2039)}`);
  });
});
