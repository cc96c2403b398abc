import type { Gpa } from "../../base/index.ts";
import type { EntryState, Selectors } from "./entry.ts";
import { type Layout, PAGE } from "./layout.ts";

/**
 * The descriptor table and the page tables a kernel starts on. Selectors 0x10 and 0x18 are what Linux's
 * boot protocol asks for (__BOOT_CS, __BOOT_DS); PVH also wants a task register, Multiboot leaves it open,
 * so one table serves all. Descriptor layout: SDM vol. 3A, section 3.4.5; TSS: 8.2.2.
 */
const BOOT_CS = 0x10;
const BOOT_DS = 0x18;
const BOOT_TSS = 0x20;

/** 4 GiB, present, DPL 0, execute/read, accessed; D for 32-bit code, L for 64-bit code. */
const CODE32: Descriptor = [0x0000_ffff, 0x00cf_9b00];
const CODE64: Descriptor = [0x0000_ffff, 0x00af_9b00];
/** 4 GiB, present, DPL 0, read/write, accessed. */
const DATA: Descriptor = [0x0000_ffff, 0x00cf_9300];
/** Busy TSS, base 0, limit 0x67. In long mode its upper half is the null entry after it. */
const TSS: Descriptor = [0x0000_0067, 0x0000_8b00];
const NULL: Descriptor = [0, 0];

type Descriptor = readonly [low: number, high: number];

const SELECTORS: Selectors = {
  cs: BOOT_CS,
  ds: BOOT_DS,
  es: BOOT_DS,
  fs: BOOT_DS,
  gs: BOOT_DS,
  ss: BOOT_DS,
  tr: BOOT_TSS,
};

const little = (words: readonly number[]): Uint8Array => {
  const out = new DataView(new ArrayBuffer(words.length * 4));
  words.forEach((word, i) => {
    out.setUint32(i * 4, word, true);
  });
  return new Uint8Array(out.buffer);
};

/** Writes the boot GDT into guest RAM. */
export const putSegments = (layout: Layout, code: 32 | 64): Pick<EntryState, "gdt" | "selectors"> => {
  const entries = [NULL, NULL, code === 64 ? CODE64 : CODE32, DATA, TSS, NULL];
  const content = little(entries.flat());
  return { gdt: { base: layout.put(content, 16), limit: content.length - 1 }, selectors: SELECTORS };
};

const PRESENT_WRITABLE = 0x3;
const LARGE_PAGE = 0x80;
const ENTRIES = 512;
const PAGE_2M = 0x20_0000;
const MAPPED_GIB = 4;

/**
 * Maps the first 4 GiB to themselves with 2 MiB pages (SDM vol. 3A, 4.5): one PML4, one page-directory-pointer
 * table, four page directories. Returns the address of the PML4.
 */
export const putIdentityMap = (layout: Layout): Gpa => {
  const tables = 2 + MAPPED_GIB;
  const base = layout.put(new Uint8Array(tables * PAGE), PAGE);
  const words = new Uint32Array(tables * ENTRIES * 2);
  const set = (table: number, index: number, entry: number): void => {
    words[(table * ENTRIES + index) * 2] = entry;
  };
  set(0, 0, (base + PAGE) | PRESENT_WRITABLE);
  for (let i = 0; i < MAPPED_GIB; i++) set(1, i, (base + (2 + i) * PAGE) | PRESENT_WRITABLE);
  for (let i = 0; i < MAPPED_GIB * ENTRIES; i++) {
    set(2, i, (i * PAGE_2M + PRESENT_WRITABLE + LARGE_PAGE) >>> 0);
  }
  layout.ram.view(base, tables * PAGE)!.set(little([...words]));
  return base;
};
