import { VivError } from "../../base/index.ts";
import { type Compression, compressionOf } from "./compression.ts";
import { isElf } from "./elf.ts";
import { mib } from "./layout.ts";
import { isBzImage, parseBzImage } from "./linux.ts";
import { unpackLz4 } from "./lz4.ts";
import { viewOf } from "./wire.ts";

/**
 * Takes the vmlinux ELF file out of a bzImage (boot.rst, payload_offset and payload_length), for PVH boot and for
 * reading symbols. Decompressors are given from outside, except LZ4, whose legacy frame few libraries know.
 */

/** Unpacks a whole stream; `size` is what it should come to. */
export type Decompress = (packed: Uint8Array, size: number) => Uint8Array | Promise<Uint8Array>;
export type Decompressors = { readonly [name in Compression]?: Decompress };

/** More than any kernel; stops a small file that unpacks to fill the host's memory. */
const MAX_VMLINUX = 1 << 29;
const PAYLOAD_VERSION = 0x0208;
/** The build appends the unpacked size to what its tool wrote; gzip's own last word is the same number. */
const SIZE_WORD = 4;

const damaged = (what: string, cause?: unknown): VivError =>
  new VivError("kernel.damaged", `the compressed kernel inside the image ${what}; fetch or copy the file again`, {
    cause,
  });

/** The compressed kernel inside a bzImage. */
const payloadOf = (image: Uint8Array): Uint8Array => {
  const { version, kernel, field } = parseBzImage(image);
  const offset = field("payload_offset");
  const length = field("payload_length");
  if (version < PAYLOAD_VERSION || length <= SIZE_WORD) {
    throw new VivError(
      "kernel.unsupported",
      "the kernel image does not say where its payload is; use its vmlinux file",
    );
  }
  if (offset + length > kernel.length) {
    throw new VivError("kernel.truncated", "the kernel image ends inside its payload; fetch or copy the file again");
  }
  return kernel.subarray(offset, offset + length);
};

/** The vmlinux inside `image`; an ELF file is returned as it is. */
export const extractVmlinux = async (image: Uint8Array, decompressors: Decompressors): Promise<Uint8Array> => {
  if (isElf(image)) return image;
  if (!isBzImage(image)) {
    throw new VivError(
      "kernel.not-a-kernel",
      "the file is neither a bzImage nor an ELF file; give a Linux kernel image",
    );
  }
  const payload = payloadOf(image);
  const compression = compressionOf(payload);
  if (compression === undefined) {
    if (isElf(payload)) return payload;
    throw new VivError("kernel.unsupported", "the kernel's compression is not known; use its vmlinux file");
  }
  const size = viewOf(payload).getUint32(payload.length - SIZE_WORD, true);
  if (size > MAX_VMLINUX) {
    throw new VivError(
      "kernel.too-big",
      `the kernel says it unpacks to ${mib(size)}; at most ${mib(MAX_VMLINUX)} are taken`,
    );
  }
  const packed = compression === "gzip" ? payload : payload.subarray(0, -SIZE_WORD);
  const unpack = decompressors[compression] ?? (compression === "lz4" ? unpackLz4 : undefined);
  if (unpack === undefined) {
    throw new VivError(
      "kernel.unsupported",
      `the kernel is packed with ${compression}, which is not at hand; use its vmlinux file`,
    );
  }
  let vmlinux: Uint8Array;
  try {
    vmlinux = await unpack(packed, size);
  } catch (error) {
    throw error instanceof VivError ? error : damaged("does not unpack", error);
  }
  if (vmlinux.length !== size) throw damaged(`unpacks to ${vmlinux.length} bytes where it says ${size}`);
  if (!isElf(vmlinux)) throw damaged("is not an ELF file");
  return vmlinux;
};
