/**
 * The modules a kernel has loaded (kernel/module/, include/linux/module.h): the list `modules`, and of each its code, symbols and notes,
 * before and since 6.4. What is on its way in or out is listed with its state; what the kernel itself does not show yet is left out.
 */
import { type Gva, gva } from "../base/index.ts";
import { Btf, MAX_BTF } from "./btf/btf.ts";
import type { AddressRange, ModuleSymbols } from "./kallsyms/symbols.ts";
import { MAX_NAME } from "./kallsyms/token-table.ts";
import type { KernelSymbol } from "./kernel.ts";
import { type AddressSpace, formatGva, Unreadable } from "./memory.ts";
import { gnuBuildId } from "./notes.ts";

/** Stops a list that never ends. */
const MAX_MODULES = 4096;
/** Of all modules together; amdgpu has 30,000. Stops a count that asks for the guest's whole memory. */
const MAX_SYMBOLS = 2 ** 18;
/** String tables, of all together. */
const MAX_STRINGS = 2 ** 25;
/** Symbols exported to all, of all together. */
const MAX_EXPORTS = 2 ** 16;
/** MODULE_NAME_LEN is 56. */
const MAX_MODULE_NAME = 56;
const MAX_VERSION = 64;
/** Notes of a module, and bytes of one. */
const MAX_NOTES = 16;
const MAX_NOTE = 256;
/** Elf64_Sym (ELF-64 object file format, 1998). */
const SYMBOL_SIZE = 24;
const SHN_UNDEF = 0;

/** enum module_state. */
export const MODULE_STATES = ["live", "coming", "going", "unformed"] as const;
export type ModuleState = (typeof MODULE_STATES)[number];

export interface Module extends ModuleSymbols {
  /** Of its struct module. */
  readonly address: Gva;
  readonly state: ModuleState;
  /** Where its code begins, as /proc/modules shows it. */
  readonly base: Gva;
  /** Bytes of all its parts. */
  readonly size: number;
  readonly srcversion: string | undefined;
  readonly version: string | undefined;
  /** Hexadecimal. */
  readonly buildId: string | undefined;
}

/** A module in a list. */
export type ModuleRow = Omit<Module, "symbols" | "text">;

/** What is needed of a kernel. */
export interface ModuleSource {
  readonly space: AddressSpace;
  readonly types: Btf;
  address(symbol: string): Gva | undefined;
}

/** Offsets of the kernel's own structs, before and since 6.4. */
function layout(types: Btf) {
  const at = (path: string): number | undefined => types.offsetOf("module", path);
  const text = types.enumerator("mod_mem_type", "MOD_TEXT") ?? 0;
  const initText = types.enumerator("mod_mem_type", "MOD_INIT_TEXT");
  const parts = types.memberCount("module", "mem");
  const part = types.sizeOf("module_memory");
  return {
    list: at("list"),
    state: at("state"),
    name: at("name"),
    srcversion: at("srcversion"),
    version: at("version"),
    kallsyms: at("kallsyms"),
    notes: at("notes_attrs"),
    syms: at("syms"),
    symCount: at("num_syms"),
    memory:
      parts !== undefined && part !== undefined
        ? {
            at: at("mem")!,
            parts: Math.min(parts, 16),
            part,
            base: types.offsetOf("module_memory", "base") ?? 0,
            size: types.offsetOf("module_memory", "size") ?? 8,
            text: initText === undefined ? [text] : [text, initText],
          }
        : undefined,
    layouts: ["core_layout", "init_layout"].flatMap((name) => {
      const base = at(`${name}.base`);
      const size = at(`${name}.size`);
      const textSize = at(`${name}.text_size`);
      return base !== undefined && size !== undefined && textSize !== undefined ? [{ base, size, textSize }] : [];
    }),
    table: {
      symtab: types.offsetOf("mod_kallsyms", "symtab"),
      count: types.offsetOf("mod_kallsyms", "num_symtab"),
      strtab: types.offsetOf("mod_kallsyms", "strtab"),
      typetab: types.offsetOf("mod_kallsyms", "typetab"),
    },
  };
}
type Layout = ReturnType<typeof layout>;

/** Addresses of all struct module, in the list's order. Throws Unreadable where the list changes while it is read. */
function moduleList({ space, address }: ModuleSource, list: number): Gva[] {
  const head = address("modules");
  if (head === undefined) return [];
  const found: Gva[] = [];
  let before = head;
  for (let at = space.pointer(head); at !== head; at = space.pointer(at)) {
    if (space.pointer(at, 8) !== before) throw new Unreadable(`the list of modules is torn at ${formatGva(at)}`);
    if (found.length === MAX_MODULES) throw new Unreadable("the list of modules has no end");
    found.push(gva(at - list));
    before = at;
  }
  return found;
}

/**
 * Names, places and states of all modules as one string: while it stays the same, so do the modules. Undefined where the list cannot be
 * read now.
 */
export function moduleSignature(source: ModuleSource): string | undefined {
  const { list, state, name, kallsyms } = layoutOf(source.types);
  if (list === undefined || state === undefined || name === undefined) return "";
  try {
    const { space } = source;
    return moduleList(source, list)
      .map(
        (at) =>
          `${at} ${space.u32(at, state)} ${space.pointer(at, kallsyms ?? 0)} ${space.text(at, MAX_MODULE_NAME, name)}`,
      )
      .join("\n");
  } catch (error) {
    if (error instanceof Unreadable) return undefined;
    throw error;
  }
}

const layouts = new WeakMap<Btf, Layout>();
function layoutOf(types: Btf): Layout {
  let found = layouts.get(types);
  if (!found) {
    found = layout(types);
    layouts.set(types, found);
  }
  return found;
}

/** All modules in the order of /proc/modules. Throws Unreadable where the list cannot be read now; of a module, what can be read. */
export function readModules(source: ModuleSource): Module[] {
  const offsets = layoutOf(source.types);
  if (offsets.list === undefined || offsets.state === undefined || offsets.name === undefined) return [];
  const found: Module[] = [];
  const room: Room = { symbols: MAX_SYMBOLS, strings: MAX_STRINGS, exports: MAX_EXPORTS };
  for (const at of moduleList(source, offsets.list)) {
    const state = MODULE_STATES[source.space.u32(at, offsets.state)];
    if (state === undefined || state === "unformed") continue;
    found.push(readModule(source, offsets, at, state, room));
  }
  return found;
}

/** What may still be read. */
interface Room {
  symbols: number;
  strings: number;
  exports: number;
}

function readModule(source: ModuleSource, offsets: Layout, address: Gva, state: ModuleState, room: Room): Module {
  const { space } = source;
  const name = space.text(address, MAX_MODULE_NAME, offsets.name!);
  const text = (offset: number | undefined): string | undefined => {
    const at = offset === undefined ? 0 : space.pointer(address, offset);
    return at === 0 ? undefined : attempt(() => space.text(gva(at), MAX_VERSION));
  };
  return {
    name,
    address,
    state,
    ...places(space, offsets, address),
    srcversion: text(offsets.srcversion),
    version: text(offsets.version),
    buildId: attempt(() => buildIdOf(source, offsets, address)),
    symbols: attempt(() => symbolsOf(source, offsets, address, name, room)) ?? [],
  };
}

/** What `read` gives; undefined where a part of it is not there. */
function attempt<Result>(read: () => Result): Result | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof Unreadable) return undefined;
    throw error;
  }
}

function places(
  space: AddressSpace,
  { memory, layouts }: Layout,
  address: Gva,
): { base: Gva; size: number; text: AddressRange[] } {
  const text: AddressRange[] = [];
  let size = 0;
  let base = gva(0);
  const add = (start: Gva, length: number): void => {
    if (start !== 0 && length !== 0) text.push({ start, end: gva(start + length) });
  };
  if (memory) {
    for (let i = 0; i < memory.parts; i++) {
      const at = memory.at + i * memory.part;
      const start = space.pointer(address, at + memory.base);
      const length = space.u32(address, at + memory.size);
      size += length;
      if (i === memory.text[0]) base = start;
      if (memory.text.includes(i)) add(start, length);
    }
  }
  layouts.forEach((part, i) => {
    const start = space.pointer(address, part.base);
    if (i === 0) base = start;
    size += space.u32(address, part.size);
    add(start, space.u32(address, part.textSize));
  });
  return { base, size, text };
}

function symbolsOf(
  source: ModuleSource,
  { kallsyms, table, syms, symCount }: Layout,
  address: Gva,
  module: string,
  room: Room,
): KernelSymbol[] {
  const { space } = source;
  if (kallsyms === undefined || table.symtab === undefined || table.count === undefined || table.strtab === undefined) {
    return [];
  }
  const at = space.pointer(address, kallsyms);
  if (at === 0) return [];
  const count = space.u32(at, table.count);
  if (count > room.symbols) return [];
  room.symbols -= count;
  const entries = space.bytes(space.pointer(at, table.symtab), SYMBOL_SIZE * count);
  const view = new DataView(entries.buffer);
  const types = table.typetab === undefined ? undefined : space.bytes(space.pointer(at, table.typetab), count);
  let last = 0;
  for (let i = 0; i < count; i++) last = Math.max(last, view.getUint32(SYMBOL_SIZE * i, true));
  const strings = stringTable(space, space.pointer(at, table.strtab), last, room);
  const exported =
    syms === undefined || symCount === undefined
      ? new Set<string>()
      : (attempt(() => exports(source, space.pointer(address, syms), space.u32(address, symCount), room)) ?? new Set());
  const found: KernelSymbol[] = [];
  for (let i = 1; i < count; i++) {
    const entry = SYMBOL_SIZE * i;
    const name = stringAt(strings, view.getUint32(entry, true));
    if (name === "" || view.getUint16(entry + 6, true) === SHN_UNDEF) continue;
    // Before 5.2 the letter stood in st_info.
    const letter = String.fromCharCode(types ? types[i]! : entries[entry + 4]!);
    const start = gva(view.getUint32(entry + 8, true) + view.getInt32(entry + 12, true) * 2 ** 32);
    // As /proc/kallsyms has it: upper case says that modules may use it.
    const type = exported.has(`${start} ${name}`) ? letter.toUpperCase() : letter.toLowerCase();
    found.push({ name, start, type, module });
  }
  return found;
}

/** Up to the end of the string at `last`. */
function stringTable(space: AddressSpace, at: Gva, last: number, room: Room): Uint8Array {
  if (last > room.strings) throw new Unreadable("the modules' string tables are larger than any");
  room.strings -= last;
  for (let rest = MAX_NAME; ; rest = Math.floor(rest / 2)) {
    try {
      return space.bytes(at, last + rest);
    } catch (error) {
      // What follows the last string may not be mapped.
      if (!(error instanceof Unreadable) || rest === 0) throw error;
    }
  }
}

function stringAt(strings: Uint8Array, at: number): string {
  let name = "";
  for (let i = at; i < strings.length && strings[i] !== 0 && name.length < MAX_NAME; i++) {
    name += String.fromCharCode(strings[i]!);
  }
  return name;
}

/** `address name` of what a module exports to all others: struct kernel_symbol, whose fields are relative to themselves. */
function exports({ space, types }: ModuleSource, at: Gva, count: number, room: Room): Set<string> {
  const size = types.sizeOf("kernel_symbol");
  const value = types.offsetOf("kernel_symbol", "value_offset");
  const name = types.offsetOf("kernel_symbol", "name_offset");
  const found = new Set<string>();
  if (size === undefined || value === undefined || name === undefined || count > room.exports) return found;
  room.exports -= count;
  for (let i = 0; i < count; i++) {
    const entry = i * size;
    const start = at + entry + value + space.s32(at, entry + value);
    found.add(`${start} ${space.text(gva(at + entry + name + space.s32(at, entry + name)), MAX_NAME)}`);
  }
  return found;
}

/** From the notes that /sys/module/NAME/notes shows. */
function buildIdOf({ space, types }: ModuleSource, { notes }: Layout, address: Gva): string | undefined {
  const at = notes === undefined ? 0 : space.pointer(address, notes);
  const attributes = types.offsetOf("module_notes_attrs", "attrs");
  const counted = types.offsetOf("module_notes_attrs", "notes");
  const step = types.sizeOf("bin_attribute");
  const size = types.offsetOf("bin_attribute", "size");
  const content = types.offsetOf("bin_attribute", "private");
  if (at === 0 || attributes === undefined || step === undefined || size === undefined || content === undefined) {
    return undefined;
  }
  const count = counted === undefined ? 1 : space.u32(gva(at), counted);
  for (let i = 0; i < Math.min(count, MAX_NOTES); i++) {
    const entry = attributes + i * step;
    const length = space.u64(gva(at), entry + size);
    if (length > MAX_NOTE) continue;
    const id = gnuBuildId(space.bytes(space.pointer(gva(at), entry + content), length));
    if (id !== undefined) return id;
  }
  return undefined;
}

/**
 * Types of a module: its BTF goes on where the kernel's ends. Undefined where it has none. Throws Unreadable where the list of such
 * modules cannot be read now.
 */
export function moduleTypes(source: ModuleSource, module: Module): Btf | undefined {
  const { space, types } = source;
  const head = source.address("btf_modules");
  const owner = types.offsetOf("btf_module", "module");
  const list = types.offsetOf("btf_module", "list");
  const btf = types.offsetOf("btf_module", "btf");
  const data = types.offsetOf("btf", "data");
  const size = types.offsetOf("btf", "data_size");
  if (head === undefined || owner === undefined || list === undefined || btf === undefined) return undefined;
  if (data === undefined || size === undefined) return undefined;
  let steps = 0;
  for (let at = space.pointer(head); at !== head && steps < MAX_MODULES; at = space.pointer(at), steps++) {
    if (space.pointer(at, owner - list) !== module.address) continue;
    const object = space.pointer(at, btf - list);
    const length = space.u32(object, size);
    return length > MAX_BTF ? undefined : Btf.read(space.bytes(space.pointer(object, data), length), types);
  }
  return undefined;
}
