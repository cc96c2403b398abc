import { gunzipSync, gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bzImage, elf, le32 } from "../../../tests/kernel-images.ts";
import { VivError } from "../../base/index.ts";
import { type Decompressors, extractVmlinux } from "./extract.ts";
import { unpackLz4 } from "./lz4.ts";

/** What `lz4 -l -9` made of `plain`. */
const packed = Buffer.from(
  "02214c1851000000ff113020626f74746c6573206f662062656572206f6e207468652077616c6c2c20311f000b1f321f000b1f331f000b" +
    "1f341f000b1f351f000b1f361f000b0fd900ffffffef1f610100ff14506161616161",
  "hex",
);
const plain = Buffer.from(
  `${Array.from({ length: 40 }, (_, i) => `${i % 7} bottles of beer on the wall, `).join("")}${"a".repeat(300)}`,
);

describe("unpackLz4", () => {
  it("unpacks what the lz4 tool packed, one frame or several", () => {
    expect(Buffer.from(unpackLz4(packed, plain.length))).toEqual(plain);
    const twice = unpackLz4(Buffer.concat([packed, packed]), 2 * plain.length);
    expect(Buffer.from(twice)).toEqual(Buffer.concat([plain, plain]));
  });

  it("refuses data that does not come to the size it should", () => {
    for (const size of [0, plain.length - 1, plain.length + 1]) {
      expect(() => unpackLz4(packed, size)).toThrow(VivError);
    }
    expect(() => unpackLz4(packed.subarray(0, -1), plain.length)).toThrow(VivError);
  });

  it("throws nothing but VivError on damaged data", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(packed.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }),
        (edits) => {
          const data = Uint8Array.from(packed);
          for (const [at, value] of edits) data[at] = value;
          try {
            expect(unpackLz4(data, plain.length)).toHaveLength(plain.length);
          } catch (error) {
            expect(error).toBeInstanceOf(VivError);
          }
        },
      ),
    );
  });
});

describe("extractVmlinux", () => {
  const vmlinux = elf({ bits: 64, entry: 0x1000000, segments: [{ paddr: 0x1000000, bytes: plain }] });
  const withPayload = (payload: Uint8Array, length = payload.length): Uint8Array => {
    const kernel = new Uint8Array(0x400 + payload.length);
    kernel.set(payload, 0x400);
    return bzImage({ kernel, payload: { offset: 0x400, length } });
  };
  const sized = (data: Uint8Array, size = vmlinux.length): Uint8Array => Buffer.concat([data, le32(size)]);
  const codeOf = async (image: Uint8Array, decompressors: Decompressors = {}): Promise<string> => {
    try {
      await extractVmlinux(image, decompressors);
    } catch (error) {
      if (error instanceof VivError) return error.code;
      throw error;
    }
    return "no error";
  };

  it("hands the payload to the decompressor its first bytes name", async () => {
    const image = withPayload(gzipSync(vmlinux));
    expect(Buffer.from(await extractVmlinux(image, { gzip: (data) => gunzipSync(data) }))).toEqual(
      Buffer.from(vmlinux),
    );
    const xz = Uint8Array.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 1, 2, 3);
    const decompressors: Decompressors = {
      xz: async (data, size) => {
        // Without the size that the kernel's build appends.
        expect(data).toEqual(xz);
        expect(size).toBe(vmlinux.length);
        return vmlinux;
      },
    };
    expect(await extractVmlinux(withPayload(sized(xz)), decompressors)).toBe(vmlinux);
  });

  it("unpacks LZ4 itself", async () => {
    // A block of literals only: token 15 << 4, then the rest of the length in bytes of at most 255.
    const rest = vmlinux.length - 15;
    const length = [...Array<number>(Math.floor(rest / 255)).fill(255), rest % 255];
    const block = Uint8Array.from([0xf0, ...length, ...vmlinux]);
    const frame = Buffer.concat([le32(0x184c2102, block.length), block]);
    expect(await extractVmlinux(withPayload(sized(frame)), {})).toEqual(vmlinux);
  });

  it("returns an ELF file as it is", async () => {
    expect(await extractVmlinux(vmlinux, {})).toBe(vmlinux);
    expect(await extractVmlinux(withPayload(vmlinux), {})).toEqual(vmlinux);
  });

  it("says what is wrong with a stable code", async () => {
    const zipped = gzipSync(vmlinux);
    const gzip = (data: Uint8Array) => gunzipSync(data);
    expect(await codeOf(new Uint8Array(5000))).toBe("kernel.not-a-kernel");
    expect(await codeOf(withPayload(zipped))).toBe("kernel.unsupported");
    expect(await codeOf(bzImage())).toBe("kernel.unsupported");
    expect(await codeOf(withPayload(new Uint8Array(100)))).toBe("kernel.unsupported");
    expect(await codeOf(withPayload(zipped, zipped.length + 1), { gzip })).toBe("kernel.truncated");
    expect(await codeOf(withPayload(zipped, zipped.length - 9), { gzip })).toMatch(/kernel\.(damaged|too-big)/);
    expect(await codeOf(withPayload(gzipSync(plain)), { gzip })).toBe("kernel.damaged");
    expect(await codeOf(withPayload(zipped), { gzip: () => plain })).toBe("kernel.damaged");
    expect(await codeOf(withPayload(sized(packed, 0xffffffff)))).toBe("kernel.too-big");
    expect(await codeOf(withPayload(sized(packed, plain.length)))).toBe("kernel.damaged");
  });
});
