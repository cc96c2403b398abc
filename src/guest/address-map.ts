/**
 * The kernel's ways from virtual to physical addresses that need no page tables (Documentation/arch/x86/x86_64/mm.rst): all of physical
 * memory is mapped once from `page_offset_base` on, and an array of struct page, one for each frame, lies at `vmemmap_base`.
 */
import { type Gpa, type Gva, gpa, gva } from "../base/index.ts";
import type { Kernel } from "./kernel.ts";
import { PAGE_SIZE, Unreadable } from "./memory.ts";

/** What they are without CONFIG_RANDOMIZE_MEMORY. */
const DEFAULTS = {
  4: { pageOffset: gva(-0x7780_0000_0000), vmemmap: gva(-0x1600_0000_0000) },
  5: { pageOffset: gva(-0xef_0000_0000_0000), vmemmap: gva(-0x2c_0000_0000_0000) },
} as const;
/** struct page has had this size on every x86-64 that is known. */
const PAGE_STRUCT = 64;
/** Bytes of the direct map, by levels: 64 TiB, or all that a physical address of 52 bits can name. */
const DIRECT_SIZE = { 4: 2 ** 46, 5: 2 ** 52 } as const;

export class AddressMap {
  /** Where physical address 0 is mapped. */
  readonly pageOffset: Gva;
  /** The struct page of frame 0. */
  readonly vmemmap: Gva;
  /** Bytes of a struct page. */
  readonly pageStruct: number;
  /** Physical address of the kernel's image less what it was linked for; undefined where the kernel does not say. */
  readonly physBase: number | undefined;
  readonly #end: number;

  /** Reads them out of the kernel. */
  constructor(kernel: Kernel) {
    const defaults = DEFAULTS[kernel.space.levels];
    this.#end = DIRECT_SIZE[kernel.space.levels];
    this.pageOffset = variable(kernel, "page_offset_base") ?? directMap(kernel) ?? defaults.pageOffset;
    this.vmemmap = variable(kernel, "vmemmap_base") ?? defaults.vmemmap;
    this.pageStruct = kernel.types?.sizeOf("page") || PAGE_STRUCT;
    this.physBase = variable(kernel, "phys_base");
  }

  /** The physical address behind one in the direct map; -1 where it lies outside. */
  physical(at: Gva): Gpa | -1 {
    const physical = at - this.pageOffset;
    return physical >= 0 && physical < this.#end ? gpa(physical) : -1;
  }

  /** Where the direct map has a physical address. */
  direct(at: Gpa): Gva {
    return gva(at + this.pageOffset);
  }

  /** The frame that a struct page (or a folio's first) stands for; -1 where the address is none. */
  frameOf(page: Gva): Gpa | -1 {
    const index = (page - this.vmemmap) / this.pageStruct;
    return Number.isInteger(index) && index >= 0 && index * PAGE_SIZE < this.#end ? gpa(index * PAGE_SIZE) : -1;
  }

  /** The struct page of the frame that an address lies in. */
  pageOf(at: Gpa): Gva {
    return gva(this.vmemmap + Math.floor(at / PAGE_SIZE) * this.pageStruct);
  }
}

function variable({ symbols, space }: Kernel, name: string): Gva | undefined {
  const at = symbols.address(name);
  try {
    return at === undefined ? undefined : space.pointer(at);
  } catch (error) {
    if (error instanceof Unreadable) return undefined;
    throw error;
  }
}

/** Without data symbols: the second task of all was allocated, so its address is one of the direct map. */
function directMap({ symbols, types, space }: Kernel): Gva | undefined {
  const task = symbols.address("init_task");
  const tasks = types?.offsetOf("task_struct", "tasks");
  if (task === undefined || tasks === undefined) return undefined;
  try {
    const next = space.pointer(task, tasks);
    const physical = space.translate(next);
    return physical < 0 || next - physical >= 0 ? undefined : gva(next - physical);
  } catch (error) {
    if (error instanceof Unreadable) return undefined;
    throw error;
  }
}
