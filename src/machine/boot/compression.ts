/**
 * Compression formats by the bytes they start with (boot.rst, "payload_offset", and each format's own document).
 */
const MAGICS = {
  gzip: [0x1f, 0x8b],
  bzip2: [0x42, 0x5a, 0x68],
  xz: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00],
  lzma: [0x5d, 0x00, 0x00],
  lzo: [0x89, 0x4c, 0x5a, 0x4f],
  lz4: [0x02, 0x21, 0x4c, 0x18],
  zstd: [0x28, 0xb5, 0x2f, 0xfd],
} as const;

export type Compression = keyof typeof MAGICS;

export const compressionOf = (data: Uint8Array): Compression | undefined =>
  (Object.keys(MAGICS) as Compression[]).find((name) => MAGICS[name].every((byte, i) => data[i] === byte));
