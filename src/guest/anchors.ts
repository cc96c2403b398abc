/**
 * Where to begin in a guest's memory: address spaces that may be the kernel's, the best first.
 *
 * 1. The page tables of a vCPU. They map the kernel's image, so that only this has to be searched.
 * 2. VMCOREINFO, which says where the kernel's page tables are. It comes second because finding it takes a look at every page.
 * 3. Symbol tables anywhere in RAM, whose own addresses lead to the kernel's page tables.
 *
 * Each is a guess. Memory holds copies of kernels that do not run (what the decompressor left, the one before a kexec), so whoever
 * uses an address space asks it whether it maps what was found where that says it is.
 */
import { type Gva, gpa, gva, MiB } from "../base/index.ts";
import { KERNEL_MAP_START, type KernelImage, kernelImage } from "./image.ts";
import { type KallsymsTables, readKallsyms } from "./kallsyms/tables.ts";
import { tokenTables } from "./kallsyms/token-table.ts";
import type { ControlRegisters } from "./kernel.ts";
import { AddressSpace, PAGE_SIZE, type PhysicalMemory, Unreadable } from "./memory.ts";
import type { SearchBudget } from "./search-budget.ts";
import { findVmcoreinfo, type Vmcoreinfo } from "./vmcoreinfo.ts";

/** CR4.LA57. */
const LA57 = 1 << 12;
/** Of the two tables of a process under PTI, the one that user code runs on has this bit in its address. */
const PTI_USER = PAGE_SIZE;
/** The largest image: __START_KERNEL_map has 1 GiB. */
const MAX_IMAGE = 1024 * MiB;
const ALIGNMENT = 2 * MiB;

/** The kernel's page tables have gone by these names. */
const ROOT_SYMBOLS = ["init_top_pgt", "swapper_pg_dir", "init_level4_pgt"];

export interface Anchor {
  readonly from: "registers" | "vmcoreinfo" | "memory";
  readonly space: AddressSpace;
  readonly image: KernelImage;
  readonly vmcoreinfo?: Vmcoreinfo;
}

/** Address spaces that map something where a kernel's image lies. Each is given once. */
export function* anchors(
  memory: PhysicalMemory,
  registers: readonly ControlRegisters[],
  budget: SearchBudget,
): Generator<Anchor> {
  const tried = new Set<string>();
  for (const { from, root, levels, vmcoreinfo } of roots(memory, registers, budget)) {
    if (!memory.has(gpa(root), PAGE_SIZE) || tried.has(`${root} ${levels}`)) continue;
    tried.add(`${root} ${levels}`);
    if (!budget.spend("roots")) return;
    const space = new AddressSpace(memory, gpa(root), levels);
    const image = kernelImage(space);
    if (image) yield { from, space, image, ...(vmcoreinfo && { vmcoreinfo }) };
  }
}

interface Root {
  readonly from: Anchor["from"];
  readonly root: number;
  readonly levels: 4 | 5;
  readonly vmcoreinfo?: Vmcoreinfo;
}

function* roots(memory: PhysicalMemory, registers: readonly ControlRegisters[], budget: SearchBudget): Generator<Root> {
  for (const { cr3, cr4 } of registers) {
    const root = (cr3 - (cr3 % PAGE_SIZE)) % 2 ** 52;
    const levels = (cr4 & LA57) !== 0 ? 5 : 4;
    yield { from: "registers", root, levels };
    if ((root & PTI_USER) !== 0) yield { from: "registers", root: root - PTI_USER, levels };
  }
  for (const vmcoreinfo of findVmcoreinfo(memory, budget)) {
    const { physBase, levels, symbols } = vmcoreinfo;
    const at = ROOT_SYMBOLS.map((name) => symbols.get(name)).find((address) => address !== undefined);
    if (at === undefined || physBase === undefined) continue;
    yield { from: "vmcoreinfo", root: at - KERNEL_MAP_START + physBase, levels, vmcoreinfo };
  }
  yield* rootsOfTables(memory, budget);
}

/** Page tables by the symbol tables that name them: where `_text` and the table itself are mapped as they should be. */
function* rootsOfTables(memory: PhysicalMemory, budget: SearchBudget): Generator<Root> {
  for (const { start, end } of memory.runs) {
    for (const tokens of tokenTables(memory, start, end, budget)) {
      let tables: KallsymsTables | undefined;
      try {
        tables = readKallsyms(memory, tokens, 0, () => true, budget);
      } catch (error) {
        if (!(error instanceof Unreadable)) throw error;
      }
      const at = tables && rootAddress(tables);
      if (!tables || at === undefined) continue;
      for (const levels of [4, 5] as const) {
        if (tables.encoding === "place-relative") yield { from: "memory", root: at, levels };
        else yield* rootsAt(memory, tables, at, levels);
      }
    }
  }
}

function* rootsAt(memory: PhysicalMemory, tables: KallsymsTables, at: Gva, levels: 4 | 5): Generator<Root> {
  const text = addressIn(tables, "_text") ?? addressIn(tables, "_stext");
  if (text === undefined) return;
  // The table lies behind the text; virtual and physical addresses agree in their low bits.
  const least = Math.ceil((text - tables.tokens.start) / ALIGNMENT) * ALIGNMENT;
  for (let distance = least; distance < least + MAX_IMAGE; distance += ALIGNMENT) {
    const root = at - distance;
    if (root < 0 || root % PAGE_SIZE !== 0 || !memory.has(gpa(root), PAGE_SIZE)) continue;
    const space = new AddressSpace(memory, gpa(root), levels);
    if (space.translate(text) !== text - distance) continue;
    if (space.translate(gva(tables.tokens.start + distance)) !== tables.tokens.start) continue;
    yield { from: "memory", root, levels };
  }
}

function addressIn({ names, addresses }: KallsymsTables, name: string): Gva | undefined {
  const index = names.indexOf(name);
  return index < 0 ? undefined : gva(addresses[index]!);
}

const rootAddress = (tables: KallsymsTables): Gva | undefined =>
  ROOT_SYMBOLS.map((name) => addressIn(tables, name)).find((address) => address !== undefined);

/** The kernel's own page tables; where they are not named, those that it was found by. */
export function kernelSpace({ space, image }: Anchor, tables: KallsymsTables): AddressSpace {
  const at = rootAddress(tables);
  // By its distance: tables that user code runs on (PTI) may not map it.
  const root = at === undefined ? -1 : at - image.distance;
  if (root % PAGE_SIZE !== 0 || !space.memory.has(gpa(root), PAGE_SIZE)) return space;
  const own = new AddressSpace(space.memory, gpa(root), space.levels);
  const text = addressIn(tables, "_stext") ?? addressIn(tables, "_text");
  return text !== undefined && own.translate(text) === text - image.distance ? own : space;
}
