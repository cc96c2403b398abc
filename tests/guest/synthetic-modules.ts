/** Writes what a kernel keeps of its modules (include/linux/module.h) with the BTF that says where, in either layout. */
import { BtfWriter } from "./synthetic-btf.ts";

/** `core_layout` was replaced by an array `mem` in 6.4. */
export type ModuleLayout = "core_layout" | "mem";
export const MODULE_LAYOUTS: readonly ModuleLayout[] = ["core_layout", "mem"];

/** Offsets in our struct module. */
const AT = { state: 0, list: 8, name: 24, srcversion: 80, kallsyms: 88, syms: 96, numSyms: 104, parts: 112 };
const MODULE_SIZE = 256;
/** enum mod_mem_type, in its order. */
const PARTS = [
  "MOD_TEXT",
  "MOD_DATA",
  "MOD_RODATA",
  "MOD_RO_AFTER_INIT",
  "MOD_INIT_TEXT",
  "MOD_INIT_DATA",
  "MOD_INIT_RODATA",
];

export function moduleBtf(layout: ModuleLayout): Uint8Array {
  const btf = new BtfWriter();
  const int = btf.int("unsigned int", 4);
  const long = btf.int("long unsigned int", 8);
  const char = btf.int("char", 1);
  const list = btf.struct("list_head", 16, [
    { name: "next", type: long, bit: 0 },
    { name: "prev", type: long, bit: 64 },
  ]);
  const name = btf.array(char, 56);
  const fields = (names: readonly (readonly [string, number, number])[]) =>
    names.map(([field, type, at]) => ({ name: field, type, bit: 8 * at }));
  btf.struct(
    "mod_kallsyms",
    32,
    fields([
      ["symtab", long, 0],
      ["num_symtab", int, 8],
      ["strtab", long, 16],
      ["typetab", long, 24],
    ]),
  );
  btf.struct(
    "kernel_symbol",
    12,
    fields([
      ["value_offset", int, 0],
      ["name_offset", int, 4],
      ["namespace_offset", int, 8],
    ]),
  );
  const common = fields([
    ["state", int, AT.state],
    ["list", list, AT.list],
    ["name", name, AT.name],
    ["srcversion", long, AT.srcversion],
    ["kallsyms", long, AT.kallsyms],
    ["syms", long, AT.syms],
    ["num_syms", int, AT.numSyms],
  ]);
  if (layout === "mem") {
    const part = btf.struct(
      "module_memory",
      16,
      fields([
        ["base", long, 0],
        ["size", int, 8],
      ]),
    );
    const parts = btf.array(part, PARTS.length);
    btf.enumeration("mod_mem_type", Object.fromEntries(PARTS.map((part, i) => [part, i])));
    btf.struct("module", MODULE_SIZE, [...common, ...fields([["mem", parts, AT.parts]])]);
  } else {
    const part = btf.struct(
      "module_layout",
      24,
      fields([
        ["base", long, 0],
        ["size", int, 8],
        ["text_size", int, 12],
      ]),
    );
    btf.struct("module", MODULE_SIZE, [
      ...common,
      ...fields([
        ["core_layout", part, AT.parts],
        ["init_layout", part, AT.parts + 24],
      ]),
    ]);
  }
  return btf.bytes();
}

export interface SyntheticModule {
  readonly name: string;
  readonly state: number;
  readonly text: number;
  readonly symbols: readonly {
    readonly name: string;
    readonly type: string;
    readonly address: number;
    readonly exported?: boolean;
  }[];
}

/** Three modules: live, going, and one that is not yet shown. `text`: where their code is said to lie. */
export const syntheticModules = (text: number): readonly SyntheticModule[] =>
  ["first", "second", "unborn"].map((name, i) => ({
    name,
    state: [0, 2, 3][i]!,
    text: text + i * 0x2000,
    symbols: [
      { name: `${name}_init`, type: "t", address: text + i * 0x2000 },
      { name: `${name}_do`, type: "T", address: text + i * 0x2000 + 0x40, exported: true },
      { name: `${name}_data`, type: "d", address: text + i * 0x2000 + 0x1800 },
    ],
  }));

/**
 * Writes them at `at` in RAM, which the kernel sees at `at + distance`; the list's head is at `head`. Answers where the writing ended.
 */
export function writeModules(
  ram: Uint8Array,
  at: number,
  distance: number,
  head: number,
  layout: ModuleLayout,
  modules: readonly SyntheticModule[],
): number {
  const view = new DataView(ram.buffer);
  const put64 = (to: number, value: number): void => view.setBigUint64(to, BigInt.asUintN(64, BigInt(value)), true);
  const text = (to: number, value: string): void =>
    ram.set(
      [...value, "\0"].map((c) => c.charCodeAt(0)),
      to,
    );
  let next = at;
  const take = (size: number): number => {
    const place = next;
    next += Math.ceil(size / 8) * 8;
    return place;
  };
  const nodes = [head];
  for (const module of modules) {
    const place = take(MODULE_SIZE);
    nodes.push(place + AT.list);
    view.setUint32(place + AT.state, module.state, true);
    text(place + AT.name, module.name);
    const version = take(32);
    text(version, `SRC${module.name}`);
    put64(place + AT.srcversion, version + distance);
    const parts =
      layout === "mem"
        ? [
            [0, 0x1000],
            [1, 0x800],
          ]
        : [[0, 0x1800]];
    for (const [part, size] of parts as [number, number][]) {
      const to = place + AT.parts + part * 16;
      put64(to, module.text + part * 0x1000);
      view.setUint32(to + 8, size, true);
      if (layout === "core_layout") view.setUint32(to + 12, 0x1000, true);
    }
    const count = module.symbols.length + 1;
    const [kallsyms, symtab, typetab] = [take(32), take(24 * count), take(count)];
    put64(place + AT.kallsyms, kallsyms + distance);
    put64(kallsyms, symtab + distance);
    view.setUint32(kallsyms + 8, count, true);
    const strtab = next;
    put64(kallsyms + 16, strtab + distance);
    put64(kallsyms + 24, typetab + distance);
    let string = 1;
    const exported = module.symbols.filter((symbol) => symbol.exported);
    const names = new Map<string, number>();
    module.symbols.forEach(({ name, type, address }, i) => {
      const entry = symtab + 24 * (i + 1);
      view.setUint32(entry, string, true);
      view.setUint16(entry + 6, 1, true);
      put64(entry + 8, address);
      ram[typetab + i + 1] = type.charCodeAt(0);
      text(strtab + string, name);
      names.set(name, strtab + string);
      string += name.length + 1;
    });
    take(string);
    const syms = take(12 * exported.length);
    put64(place + AT.syms, syms + distance);
    view.setUint32(place + AT.numSyms, exported.length, true);
    exported.forEach(({ name, address }, i) => {
      view.setInt32(syms + 12 * i, address - (syms + 12 * i + distance), true);
      view.setInt32(syms + 12 * i + 4, names.get(name)! - (syms + 12 * i + 4), true);
    });
  }
  nodes.forEach((node, i) => {
    put64(node, nodes[(i + 1) % nodes.length]! + distance);
    put64(node + 8, nodes.at(i - 1)! + distance);
  });
  return next;
}
