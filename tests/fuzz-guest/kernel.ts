/**
 * Hostile memory for what finds a kernel and reads its symbols, types and modules: kernels with bytes changed where it hurts, RAM
 * that is made to look like tables everywhere, and noise. Whatever it holds, nothing may throw but Unreadable where that is said, and
 * no case may take long.
 */
import { gva } from "../../src/base/index.ts";
import { AddressMap } from "../../src/guest/address-map.ts";
import { Btf } from "../../src/guest/btf/btf.ts";
import { findKernel } from "../../src/guest/find-kernel.ts";
import type { ControlRegisters } from "../../src/guest/kernel.ts";
import { RecentKernels } from "../../src/guest/kernel-cache.ts";
import type { LinuxKernel } from "../../src/guest/linux-kernel.ts";
import { PhysicalMemory, Unreadable } from "../../src/guest/memory.ts";
import { currentTask, perCpu } from "../../src/guest/per-cpu.ts";
import type { Random } from "../fuzz/random.ts";
import { SYNTHETIC_LAYOUTS, type SyntheticKernel, syntheticKernel } from "../guest/synthetic-kernel.ts";
import { MODULE_LAYOUTS, moduleBtf } from "../guest/synthetic-modules.ts";
import { type FuzzOptions, type FuzzResult, runCases } from "./cases.ts";

/** Symbols of a found kernel that are looked at. */
const LOOKS = 2_000;

export function fuzzGuestKernel(options: FuzzOptions): FuzzResult {
  const cache = new RecentKernels();
  return runCases(
    options,
    KINDS.map(({ name, run }) => ({ name, run: (random) => run(random, cache) })),
  );
}

interface Kind {
  readonly name: string;
  /** True where a kernel was found. */
  run(random: Random, cache: RecentKernels): boolean;
}

const KINDS: readonly Kind[] = [
  { name: "a changed kernel", run: changedKernel },
  {
    name: "changed symbols",
    run: (random, cache) => changedParts(random, cache, ["names", "markers", "token_table", "token_index", "num_syms"]),
  },
  {
    name: "changed addresses",
    run: (random, cache) => changedParts(random, cache, ["offsets", "addresses", "relative_base"]),
  },
  { name: "changed types", run: (random, cache) => changedParts(random, cache, ["btf", "btf", "btf"]) },
  { name: "changed modules", run: changedModules },
  { name: "changed page tables", run: (random, cache) => changedParts(random, cache, ["root", "tables"]) },
  { name: "types alone", run: changedTypes },
  { name: "memory full of one thing", run: pattern },
];

function written(random: Random): SyntheticKernel {
  return syntheticKernel({
    layout: random.pick(SYNTHETIC_LAYOUTS),
    levels: random.once(2) ? 5 : 4,
    modules: random.pick(MODULE_LAYOUTS),
    vmcoreinfo: random.once(2),
    staleCopy: random.once(4),
    physicalMove: 2 * random.below(8),
    textOnly: random.once(4),
  });
}

/** A few bytes, near each other: noise, a bit, all ones, or what lies somewhere else. */
function change({ ram }: SyntheticKernel, random: Random, start: number, length: number): void {
  const changes = 1 + random.below(6);
  for (let i = 0; i < changes; i++) {
    const at = start + random.below(length);
    const bytes = Math.min(1 + random.below(random.once(8) ? 4096 : 8), ram.length - at);
    switch (random.below(4)) {
      case 0:
        random.fill(ram, at, at + bytes);
        break;
      case 1:
        ram[at] = ram[at]! ^ (1 << random.below(8));
        break;
      case 2:
        ram.fill(random.pick([0, 0xff, 0x80, 0x30]), at, at + bytes);
        break;
      default:
        ram.copyWithin(at, start + random.below(length), Math.min(ram.length, start + random.below(length) + bytes));
    }
  }
}

function changedKernel(random: Random, cache: RecentKernels): boolean {
  const kernel = written(random);
  for (let i = random.below(40); i >= 0; i--) {
    const { physical } = kernel.places;
    change(kernel, random, physical! + random.pick([4, 4, 6, 0]) * 2 ** 20, 2 ** 18);
  }
  return look(kernel, random, cache);
}

function changedParts(random: Random, cache: RecentKernels, parts: readonly string[]): boolean {
  const kernel = written(random);
  const places: Record<string, number> = { ...kernel.places, tables: 2 ** 20 + 4096 };
  for (const part of parts) {
    if (places[part] !== undefined && !random.once(3))
      change(kernel, random, places[part], random.pick([8, 64, 1024, 16_384]));
  }
  return look(kernel, random, cache);
}

/** Pointers of the list and of symbol tables lead to each other, to themselves, out of memory. */
function changedModules(random: Random, cache: RecentKernels): boolean {
  const kernel = written(random);
  const { data, dataEnd, distance } = kernel.places as { data: number; dataEnd: number; distance: number };
  const view = new DataView(kernel.ram.buffer);
  const words = (dataEnd - data - 0x4000) / 8;
  for (let i = random.below(8); i >= 0; i--) {
    const at = data + 0x4000 + 8 * random.below(words);
    const to = data + 0x4000 + 8 * random.below(words) + distance;
    const value = random.once(3)
      ? random.big()
      : BigInt.asUintN(64, BigInt(random.once(2) ? to : random.below(2 ** 31)));
    view.setBigUint64(at, value, true);
  }
  return look(kernel, random, cache);
}

function changedTypes(random: Random): boolean {
  const bytes = moduleBtf(random.pick(MODULE_LAYOUTS));
  for (let i = random.below(12); i >= 0; i--) {
    bytes[random.once(6) ? random.below(24) : 24 + random.below(bytes.length - 24)] = random.once(3)
      ? random.below(4)
      : random.next();
  }
  const types = Btf.read(bytes);
  if (types) askTypes(types, Btf.read(moduleBtf("mem"), types));
  return false;
}

/** What each search looks for, everywhere. */
function pattern(random: Random, cache: RecentKernels): boolean {
  const kernel = written(random);
  const { ram } = kernel;
  const text = random.pick([
    "0\u00001\u00002\u00003\u00004\u00005\u00006\u00007\u00008\u00009\u0000",
    "OSRELEASE=1\nPAGESIZE=4096\nNUMBER(phys_base)=0\nSYMBOL(swapper_pg_dir)=ffffffff81000000\n".padEnd(4096, "\0"),
    "Linux version 6 (",
    "\u009f\u00eb\u0001\u0000\u0018\u0000\u0000\u0000\u0000\u0000\u0000\u0000\u0000\u0010\u0000\u0000\u0000\u0010\u0000\u0000\u0000\u0010\u0000\u0000",
    "swapper/0\0",
    "\u0063\u0000\u0010\u0000\u0000\u0000\u0000\u0000",
    "\u0000\u0000\u0000\u0000\u0000\u0004\u0000\u0000\u0000\u0008\u0000\u0000\u0000\u000c\u0000\u0000\u0000\u0010\u0000\u0000",
  ]);
  const piece = Uint8Array.from(text, (character) => character.charCodeAt(0));
  // All of RAM but what keeps the kernel's image, or all but a part of it.
  const { physical, token_table: tokens } = kernel.places as { physical: number; token_table: number };
  const keep = random.once(2) ? [physical, physical + 2 ** 23] : [tokens, tokens + 8192];
  const first = keep[0]! - (keep[0]! % 4096);
  for (let at = 2 ** 21; at + piece.length <= ram.length; at += piece.length) {
    if (at + piece.length <= first || at >= keep[1]!) ram.set(piece, at);
  }
  return look(kernel, random, cache);
}

function look(kernel: SyntheticKernel, random: Random, cache: RecentKernels): boolean {
  const registers: ControlRegisters[] = random.once(3) ? [] : [kernel.registers];
  if (random.once(6)) registers.unshift({ ...kernel.registers, cr3: random.next() * 4096, cr4: random.next() });
  if (random.once(6))
    registers.push({ ...kernel.registers, gsBase: gva(kernel.symbols.at(-1)!.address), cr3: Number.MAX_SAFE_INTEGER });
  const memory = new PhysicalMemory(kernel.ram);
  const result = findKernel(memory, registers, random.once(2) ? cache : undefined);
  if (!result.found) {
    if (result.message.includes("\n")) throw new Error(`more than a line: ${result.message}`);
    return false;
  }
  askKernel(result.kernel, registers, random);
  return true;
}

function askKernel(kernel: LinuxKernel, registers: readonly ControlRegisters[], random: Random): void {
  let left = LOOKS;
  for (const { name, start, type } of kernel.symbols.all()) {
    if (name.length > 512 || type.length !== 1 || Number.isNaN(start))
      throw new Error(`no symbol: ${name} ${type} ${start}`);
    kernel.symbols.address(name);
    const found = kernel.symbols.find(gva(start + random.below(64)));
    if (found && !(found.start <= start + 64 && found.end !== undefined))
      throw new Error(`wrong symbol: ${found.name}`);
    if (--left === 0) break;
  }
  for (const at of [0, -1, -(2 ** 63), 2 ** 63, -(2 ** 31)]) kernel.symbols.find(gva(at));
  void kernel.limits;
  if (kernel.types) askTypes(kernel.types, undefined);
  kernel.refresh();
  kernel.stillThere(registers);
  new AddressMap(kernel).frameOf(gva(random.next()));
  for (const module of kernel.modules) allowed(() => kernel.moduleTypes(module));
  for (const one of registers) {
    allowed(() => currentTask(kernel, one));
    allowed(() => perCpu(kernel, "_text", one));
  }
}

/** May say that memory is not there. */
function allowed(work: () => unknown): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error;
  }
}

function askTypes(types: Btf, more: Btf | undefined): void {
  for (const table of more ? [types, more] : [types]) {
    for (const name of [
      "module",
      "list_head",
      "mod_kallsyms",
      "char",
      "",
      "none",
      ...Array.from({ length: 30 }, (_, i) => `x${i}`),
    ]) {
      table.sizeOf(name);
      for (const path of ["list.next", "mem[1].base", "core_layout.base", "name[55]", "symtab", "none.none"]) {
        table.offsetOf(name, path);
        table.memberSize(name, path);
        table.memberCount(name, path);
      }
      table.enumerator(name, "MOD_TEXT");
    }
    table.enumerator("mod_mem_type", "MOD_TEXT");
  }
}
