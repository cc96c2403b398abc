/**
 * Writes what a kernel leaves in memory, into RAM of its own: page tables, an image with kallsyms in any of its layouts, banner and
 * VMCOREINFO. Written after scripts/kallsyms.c and the Intel SDM without the tables of src/guest, so that a mistake there cannot hide.
 */
import { gva } from "../../src/base/index.ts";
import type { ControlRegisters } from "../../src/guest/kernel.ts";
import { PhysicalMemory } from "../../src/guest/memory.ts";
import { type ModuleLayout, moduleBtf, syntheticModules, writeModules } from "./synthetic-modules.ts";

export interface SyntheticSymbol {
  readonly address: number;
  readonly type: string;
  readonly name: string;
}

/** A kernel's way of writing kallsyms. */
export interface SyntheticLayout {
  readonly kernel: string;
  /** Addresses in front of the names, or behind the tokens. */
  readonly addresses: "before" | "after";
  readonly encoding: "absolute" | "relative" | "absolute-percpu" | "place-relative";
  /** Bytes of a marker and of num_syms. */
  readonly markers: 4 | 8;
  readonly uleb: boolean;
  /** seqs_of_names: between markers and tokens, behind all, or absent. */
  readonly seqs: "none" | "middle" | "end";
}

/** One of each that a kernel from 4.19 on was released with. */
export const SYNTHETIC_LAYOUTS: readonly SyntheticLayout[] = [
  { kernel: "4.19", addresses: "before", encoding: "absolute-percpu", markers: 8, uleb: false, seqs: "none" },
  { kernel: "4.19, absolute", addresses: "before", encoding: "absolute", markers: 8, uleb: false, seqs: "none" },
  { kernel: "5.10", addresses: "before", encoding: "absolute-percpu", markers: 4, uleb: false, seqs: "none" },
  { kernel: "5.10, one CPU", addresses: "before", encoding: "relative", markers: 4, uleb: false, seqs: "none" },
  { kernel: "6.1", addresses: "before", encoding: "absolute-percpu", markers: 4, uleb: true, seqs: "none" },
  { kernel: "6.2", addresses: "before", encoding: "absolute-percpu", markers: 4, uleb: true, seqs: "middle" },
  { kernel: "6.4", addresses: "after", encoding: "absolute-percpu", markers: 4, uleb: true, seqs: "end" },
  { kernel: "6.4, absolute", addresses: "after", encoding: "absolute", markers: 4, uleb: true, seqs: "end" },
  { kernel: "6.15", addresses: "after", encoding: "relative", markers: 4, uleb: true, seqs: "end" },
  { kernel: "7.0", addresses: "after", encoding: "place-relative", markers: 4, uleb: true, seqs: "end" },
];

export interface SyntheticOptions {
  readonly layout: SyntheticLayout;
  readonly levels?: 4 | 5;
  /** Megabytes by which the image is moved: KASLR. Multiples of 2. */
  readonly virtualMove?: number;
  readonly physicalMove?: number;
  /** Only text symbols: no CONFIG_KALLSYMS_ALL. */
  readonly textOnly?: boolean;
  readonly vmcoreinfo?: boolean;
  /** Modules, and the BTF that describes them. */
  readonly modules?: ModuleLayout;
  /** A copy of the image, as the decompressor leaves it, at a lower address. */
  readonly staleCopy?: boolean;
}

export interface SyntheticKernel {
  readonly ram: Uint8Array;
  readonly memory: PhysicalMemory;
  readonly registers: ControlRegisters;
  /** In the table's order. */
  readonly symbols: readonly SyntheticSymbol[];
  /** Where in RAM things lie. */
  readonly places: Readonly<Record<string, number>>;
}

const MiB = 2 ** 20;
export const RAM_SIZE = 48 * MiB;
const IMAGE_SIZE = 8 * MiB;
const MAP_START = -(2 ** 31);
/** In the image. */
const RODATA = 4 * MiB;
const DATA = 6 * MiB;
/** Where modules are said to lie. Nothing is mapped there: their code is not read. */
export const MODULE_TEXT = 256 * MiB;
export const RELEASE = "9.8.7-synthetic";
const BANNER = `Linux version ${RELEASE} (a@b) (gcc) #1 SMP\n`;

export function syntheticKernel(options: SyntheticOptions): SyntheticKernel {
  const { layout, levels = 4, virtualMove = 32, physicalMove = 4, textOnly = false } = options;
  const ram = new Uint8Array(RAM_SIZE);
  const view = new DataView(ram.buffer);
  const put64 = (at: number, value: number): void => view.setBigUint64(at, BigInt.asUintN(64, BigInt(value)), true);
  const physical = 16 * MiB + physicalMove * MiB;
  const text = MAP_START + 16 * MiB + virtualMove * MiB;
  const distance = text - physical;

  const btf = options.modules && moduleBtf(options.modules);
  const symbols = symbolsAt(text, textOnly, layout, btf?.length);
  const addressOf = (name: string): number => symbols.find((s) => s.name === name)?.address ?? Number.NaN;

  // Page tables: two for the kernel's image and for all RAM (at the direct map's start), by pages of 2 MiB.
  const root = physical + DATA;
  let next = 1 * MiB;
  const table = (): number => {
    next += 4096;
    return next;
  };
  const map = (virtual: bigint, to: number): void => {
    let at = root;
    for (let level = levels - 1; level > 1; level--) {
      const entry = at + Number((virtual >> BigInt(12 + 9 * level)) & 511n) * 8;
      if (view.getUint32(entry, true) === 0) put64(entry, table() + 0x63);
      at = Number(view.getBigUint64(entry, true) & 0xf_ffff_ffff_f000n);
    }
    put64(at + Number((virtual >> 21n) & 511n) * 8, to + 0xe3);
  };
  for (let at = 0; at < IMAGE_SIZE; at += 2 * MiB) map(BigInt.asUintN(64, BigInt(text + at)), physical + at);
  const direct = levels === 4 ? 0xffff_8880_0000_0000n : 0xff11_0000_0000_0000n;
  for (let at = 0; at < RAM_SIZE; at += 2 * MiB) map(direct + BigInt(at), at);

  ram.set(latin(BANNER), physical + RODATA);
  const places = writeKallsyms(ram, physical + RODATA + 0x1000, distance, text, symbols, layout);
  let end = physical + DATA;
  if (options.modules && btf) {
    ram.set(btf, physical + RODATA + MiB);
    const loaded = syntheticModules(text + MODULE_TEXT);
    end = writeModules(ram, physical + DATA + 0x5000, distance, physical + DATA + 0x4000, options.modules, loaded);
  }
  if (options.vmcoreinfo) {
    const lines = [
      `OSRELEASE=${RELEASE}`,
      "BUILD-ID=00112233445566778899aabbccddeeff00112233",
      "PAGESIZE=4096",
      `SYMBOL(init_uts_ns)=${hex(text + DATA + 0x3000)}`,
      `SYMBOL(swapper_pg_dir)=${hex(text + DATA)}`,
      `NUMBER(phys_base)=${physical - 16 * MiB - virtualMove * MiB}`,
      `NUMBER(pgtable_l5_enabled)=${levels === 5 ? 1 : 0}`,
      `KERNELOFFSET=${(virtualMove * MiB).toString(16)}`,
    ];
    ram.set(latin(`${lines.join("\n")}\n`), 2 * MiB);
  }
  if (options.staleCopy) ram.copyWithin(6 * MiB, physical, physical + IMAGE_SIZE);
  return {
    ram,
    memory: new PhysicalMemory(ram),
    registers: {
      cr3: root + 1,
      cr4: 0x20 + (levels === 5 ? 0x1000 : 0),
      lstar: gva(addressOf("entry_SYSCALL_64")),
      gsBase: gva(0),
      kernelGsBase: gva(0),
    },
    symbols,
    places: {
      ...places,
      dataEnd: end,
      data: physical + DATA,
      btf: physical + RODATA + MiB,
      root,
      physical,
      image: text,
      distance,
    },
  };
}

const hex = (value: number): string => BigInt.asUintN(64, BigInt(value)).toString(16);
const latin = (text: string): Uint8Array => Uint8Array.from(text, (character) => character.charCodeAt(0));

/** More than a thousand functions, with aliases and, where a length may take two bytes, a name that needs them. */
function symbolsAt(
  text: number,
  textOnly: boolean,
  { encoding, uleb }: SyntheticLayout,
  btf: number | undefined,
): SyntheticSymbol[] {
  const symbols: SyntheticSymbol[] = [];
  const add = (address: number, type: string, name: string): void => void symbols.push({ address, type, name });
  const perCpu = encoding === "absolute-percpu" || encoding === "absolute";
  if (perCpu && !textOnly) {
    add(0, "A", "__per_cpu_start");
    add(0x1f_b80, "A", "current_task");
  }
  add(text, "T", "_stext");
  add(text, "T", "_text");
  for (let i = 0; i < 1300; i++) {
    const verbs = ["read", "write", "do_sys", "__x64_sys", "tcp_v4"];
    add(text + 0x1000 + i * 0x100, i % 3 === 0 ? "T" : "t", `${verbs[i % verbs.length]}_object_${i}`);
    if (i % 100 === 0) add(text + 0x1000 + i * 0x100, "W", `weak_alias_${i}`);
  }
  if (uleb) {
    let long = "";
    for (let i = 0, chance = 1; i < 400; i++) {
      chance = (Math.imul(chance, 1_103_515_245) + 12_345) & 0x7fff_ffff;
      long += String.fromCharCode(65 + ((chance >>> 16) % 26));
    }
    add(text + 0x8_0000, "t", long);
  }
  add(text + 0x9_0000, "T", "entry_SYSCALL_64");
  add(text + 0xa_0000, "T", "_etext");
  if (!textOnly) {
    add(text + RODATA, "D", "linux_banner");
    add(text + RODATA + 0x1000, "d", "__key.0");
    add(text + RODATA + 0x1010, "d", "__key.0");
    if (btf !== undefined) {
      add(text + RODATA + MiB, "R", "__start_BTF");
      add(text + RODATA + MiB + btf, "R", "__stop_BTF");
    }
    add(text + DATA, "D", "init_top_pgt");
    add(text + DATA + 0x2000, "D", "phys_base");
    if (btf !== undefined) add(text + DATA + 0x4000, "D", "modules");
  }
  return symbols;
}

/** Writes kallsyms and answers where its parts lie. */
function writeKallsyms(
  ram: Uint8Array,
  start: number,
  distance: number,
  text: number,
  symbols: readonly SyntheticSymbol[],
  layout: SyntheticLayout,
): Record<string, number> {
  const view = new DataView(ram.buffer);
  const places: Record<string, number> = {};
  let at = start;
  const label = (name: string): void => {
    at = Math.ceil(at / 8) * 8;
    places[name] = at;
  };
  const put64 = (value: number): void => {
    view.setBigUint64(at, BigInt.asUintN(64, BigInt(value)), true);
    at += 8;
  };
  const put32 = (value: number): void => {
    view.setUint32(at, value >>> 0, true);
    at += 4;
  };
  const addresses = (): void => {
    if (layout.encoding === "absolute") {
      label("addresses");
      for (const { address } of symbols) put64(address);
      return;
    }
    label("offsets");
    for (const { address } of symbols) {
      if (layout.encoding === "relative") put32(address - text);
      else if (layout.encoding === "place-relative") put32(address - (at + distance));
      else put32(address >= 0 ? address : text - 1 - address);
    }
    if (layout.encoding === "place-relative") return;
    label("relative_base");
    put64(text);
  };
  const seqs = (): void => {
    label("seqs_of_names");
    for (let i = 0; i < symbols.length; i++) ram.set([0x11, (i >> 8) & 255, i & 255], at + 3 * i);
    at += 3 * symbols.length;
  };

  const tokens = tokensFor(symbols);
  if (layout.addresses === "before") addresses();
  label("num_syms");
  if (layout.markers === 8) put64(symbols.length);
  else put32(symbols.length);
  label("names");
  const markers: number[] = [];
  let longest = 0;
  symbols.forEach(({ type, name }, i) => {
    if (i % 256 === 0) markers.push(at - places["names"]!);
    const packed = pack(type + name, tokens);
    longest = Math.max(longest, packed.length);
    if (layout.uleb && packed.length > 127) {
      ram.set([(packed.length & 0x7f) | 0x80, packed.length >> 7], at);
      at += 2;
    } else ram[at++] = packed.length;
    ram.set(packed, at);
    at += packed.length;
  });
  label("markers");
  for (const marker of markers) {
    if (layout.markers === 8) put64(marker);
    else put32(marker);
  }
  if (layout.seqs === "middle") seqs();
  label("token_table");
  const offsets: number[] = [];
  for (const token of tokens) {
    offsets.push(at - places["token_table"]!);
    ram.set(latin(token), at);
    at += token.length + 1;
  }
  label("token_index");
  for (const offset of offsets) {
    view.setUint16(at, offset, true);
    at += 2;
  }
  if (layout.addresses === "after") addresses();
  if (layout.seqs === "end") seqs();
  if (layout.uleb !== longest > 127) throw new Error(`the longest name has ${longest} tokens`);
  return places;
}

/** Each character that is used is its own token; the other numbers stand for what is frequent. */
function tokensFor(symbols: readonly SyntheticSymbol[]): string[] {
  const used = new Set(symbols.flatMap(({ type, name }) => [...(type + name)]));
  const counts = new Map<string, number>();
  for (const { type, name } of symbols) {
    for (const length of [2, 3, 5]) {
      for (let i = 0; i + length <= name.length + 1; i++) {
        const part = (type + name).slice(i, i + length);
        counts.set(part, (counts.get(part) ?? 0) + length - 1);
      }
    }
  }
  const frequent = [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).map(([part]) => part);
  return Array.from({ length: 256 }, (_, code) => {
    const character = String.fromCharCode(code);
    return used.has(character) ? character : frequent.shift()!;
  });
}

function pack(text: string, tokens: readonly string[]): number[] {
  const numbers = new Map(tokens.map((token, number) => [token, number]));
  const packed: number[] = [];
  for (let i = 0; i < text.length; ) {
    const length = [5, 3, 2, 1].find((n) => numbers.has(text.slice(i, i + n)) && i + n <= text.length)!;
    packed.push(numbers.get(text.slice(i, i + length))!);
    i += length;
  }
  return packed;
}
