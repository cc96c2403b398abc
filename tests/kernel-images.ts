/**
 * Writers of small kernel images for tests, after the Linux boot protocol and the ELF specification, written
 * without the structs of src/ so that a wrong offset there cannot hide.
 */

const put = (image: Uint8Array, at: number, size: 1 | 2 | 4 | 8, value: number): void => {
  const view = new DataView(image.buffer, image.byteOffset);
  if (size === 1) view.setUint8(at, value);
  else if (size === 2) view.setUint16(at, value, true);
  else if (size === 4) view.setUint32(at, value, true);
  else view.setBigUint64(at, BigInt(value), true);
};

export interface BzImageFields {
  version?: number;
  setupSects?: number;
  kernel?: Uint8Array;
  loadflags?: number;
  xloadflags?: number;
  prefAddress?: number;
  initSize?: number;
  kernelAlignment?: number;
  relocatable?: number;
  cmdlineSize?: number;
  initrdAddrMax?: number;
  payload?: { offset: number; length: number };
  /** End of the setup header in the file. */
  headerEnd?: number;
}

/** A bzImage with the values of a present-day x86-64 kernel. */
export const bzImage = (fields: BzImageFields = {}): Uint8Array => {
  const kernel = fields.kernel ?? new Uint8Array(0x3000).fill(0xf4);
  const sects = fields.setupSects ?? 3;
  const setup = ((sects || 4) + 1) * 512;
  const image = new Uint8Array(setup + kernel.length);
  image.set(kernel, setup);
  put(image, 0x1f1, 1, sects);
  put(image, 0x1f4, 4, Math.ceil(kernel.length / 16));
  put(image, 0x1fe, 2, 0xaa55);
  put(image, 0x200, 1, 0xeb);
  put(image, 0x201, 1, (fields.headerEnd ?? 0x26c) - 0x202);
  image.set([0x48, 0x64, 0x72, 0x53], 0x202);
  put(image, 0x206, 2, fields.version ?? 0x20f);
  put(image, 0x211, 1, fields.loadflags ?? 1);
  put(image, 0x214, 4, 0x100000);
  put(image, 0x22c, 4, fields.initrdAddrMax ?? 0x7fffffff);
  put(image, 0x230, 4, fields.kernelAlignment ?? 0x200000);
  put(image, 0x234, 1, fields.relocatable ?? 1);
  put(image, 0x235, 1, 21);
  put(image, 0x236, 2, fields.xloadflags ?? 0x7f);
  put(image, 0x238, 4, fields.cmdlineSize ?? 2047);
  put(image, 0x248, 4, fields.payload?.offset ?? 0);
  put(image, 0x24c, 4, fields.payload?.length ?? 0);
  put(image, 0x258, 8, fields.prefAddress ?? 0x1000000);
  put(image, 0x260, 4, fields.initSize ?? 0x400000);
  return image;
};

export interface ElfSegment {
  /** PT_LOAD is 1, PT_NOTE 4. */
  type?: number;
  vaddr?: number | bigint;
  paddr?: number;
  bytes: Uint8Array;
  memsz?: number;
  align?: number;
}

export interface ElfFields {
  bits: 32 | 64;
  machine?: number;
  type?: number;
  entry: number;
  segments: ElfSegment[];
}

/** An ELF executable: header, program headers, then the segments' bytes. */
export const elf = ({ bits, machine, type = 2, entry, segments }: ElfFields): Uint8Array => {
  const wide = bits === 64;
  const [headerSize, entrySize] = wide ? [64, 56] : [52, 32];
  const start = headerSize + entrySize * segments.length;
  const offsets: number[] = [];
  let end = start;
  for (const segment of segments) {
    end = Math.ceil(end / 16) * 16;
    offsets.push(end);
    end += segment.bytes.length;
  }
  const image = new Uint8Array(end);
  image.set([0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, 1, 1]);
  put(image, 16, 2, type);
  put(image, 18, 2, machine ?? (wide ? 62 : 3));
  put(image, 20, 4, 1);
  const word = wide ? 8 : 4;
  put(image, 24, word, entry);
  put(image, 24 + word, word, headerSize);
  put(image, 28 + 3 * word, 2, headerSize);
  put(image, 30 + 3 * word, 2, entrySize);
  put(image, 32 + 3 * word, 2, segments.length);
  segments.forEach((segment, i) => {
    const at = headerSize + i * entrySize;
    const { paddr = 0, vaddr = paddr, memsz = segment.bytes.length, align = 4096 } = segment;
    const values: number[] = [offsets[i]!, 0, paddr, segment.bytes.length, memsz];
    put(image, at, 4, segment.type ?? 1);
    put(image, wide ? at + 4 : at + 24, 4, 7);
    values.forEach((value, n) => {
      put(image, at + (wide ? 8 : 4) + n * word, word, value);
    });
    if (wide) new DataView(image.buffer).setBigUint64(at + 16, BigInt.asUintN(64, BigInt(vaddr)), true);
    else put(image, at + 8, 4, Number(vaddr));
    put(image, wide ? at + 48 : at + 28, word, align);
    image.set(segment.bytes, offsets[i]!);
  });
  return image;
};

/** What lies behind the vmlinux inside a bzImage: addresses, as relocs.c writes them. `lowered` is missing in new kernels. */
export const relocationTables = (raised64: number[], lowered: number[] | undefined, raised32: number[]): Uint8Array =>
  le32(0, ...raised64, ...(lowered === undefined ? [] : [0, ...lowered]), 0, ...raised32);

/** One ELF note. */
export const note = (owner: string, type: number, description: Uint8Array): Uint8Array => {
  const pad = (n: number) => Math.ceil(n / 4) * 4;
  const name = new TextEncoder().encode(`${owner}\0`);
  const out = new Uint8Array(12 + pad(name.length) + pad(description.length));
  put(out, 0, 4, name.length);
  put(out, 4, 4, description.length);
  put(out, 8, 4, type);
  out.set(name, 12);
  out.set(description, 12 + pad(name.length));
  return out;
};

export const le32 = (...values: number[]): Uint8Array => new Uint8Array(Uint32Array.from(values).buffer);

/** A Multiboot 1 header; with addresses when flag 16 is set. */
export const multibootHeader = (flags: number, ...addresses: number[]): Uint8Array =>
  le32(0x1badb002, flags, -(0x1badb002 + flags) >>> 0, ...addresses);
