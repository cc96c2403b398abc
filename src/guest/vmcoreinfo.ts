/**
 * VMCOREINFO: what the kernel writes down about itself for whoever reads its memory after a crash
 * (Documentation/admin-guide/kdump/vmcoreinfo.rst). Lines of text in a page of their own, and again in an ELF note that begins a page.
 * There from an initcall on, in kernels with CONFIG_VMCORE_INFO (CONFIG_CRASH_CORE before 6.9).
 */
import { type Gpa, type Gva, gpa, gva } from "../base/index.ts";
import { PAGE_SIZE, type PhysicalMemory } from "./memory.ts";
import type { SearchBudget } from "./search-budget.ts";

/** Its first line begins so. */
const FIRST = "OSRELEASE=";
const FIRST_WORD = 0x4552_534f;
/** Where in a page the text begins: at once, or behind the header of a note with the name VMCOREINFO. */
const PLACES = [0, 0x18] as const;
/** VMCOREINFO_BYTES: it has one page. */
const MAX_TEXT = PAGE_SIZE;

export interface Vmcoreinfo {
  readonly release: string;
  /** Hexadecimal; absent before 5.9. */
  readonly buildId: string | undefined;
  /** Physical address of the kernel's image less what it was linked for. */
  readonly physBase: number | undefined;
  readonly levels: 4 | 5;
  /** Addresses of symbols. */
  readonly symbols: ReadonlyMap<string, Gva>;
}

/** All that is found in RAM, by address: also what an earlier kernel left behind. */
export function* findVmcoreinfo(memory: PhysicalMemory, budget: SearchBudget): Generator<Vmcoreinfo> {
  for (const { start, end } of memory.runs) {
    for (let page: number = start; page + PAGE_SIZE <= end; page += PAGE_SIZE) {
      for (const place of PLACES) {
        if (memory.u32(gpa(page + place)) !== FIRST_WORD) continue;
        if (!budget.spend("vmcoreinfo")) return;
        const found = readVmcoreinfo(memory, gpa(page + place), PAGE_SIZE - place);
        if (found) yield found;
      }
    }
  }
}

function readVmcoreinfo(memory: PhysicalMemory, at: Gpa, most: number): Vmcoreinfo | undefined {
  const bytes = memory.copy(at, Math.min(most, MAX_TEXT));
  const end = bytes.indexOf(0);
  return parseVmcoreinfo(String.fromCharCode(...bytes.subarray(0, end < 0 ? bytes.length : end)));
}

/** Undefined where the text is none. Lines that are not understood are left out. */
export function parseVmcoreinfo(text: string): Vmcoreinfo | undefined {
  if (!text.startsWith(FIRST)) return undefined;
  const values = new Map<string, string>();
  for (const line of text.slice(0, MAX_TEXT).split("\n")) {
    const [, name, value] = /^([^=]+)=(.*)$/.exec(line) ?? [];
    if (name !== undefined && value !== undefined) values.set(name, value);
  }
  if (values.get("PAGESIZE") !== `${PAGE_SIZE}`) return undefined;
  const symbols = new Map<string, Gva>();
  for (const [name, value] of values) {
    const [, symbol] = /^SYMBOL\((\w+)\)$/.exec(name) ?? [];
    if (symbol !== undefined && /^[0-9a-f]{1,16}$/.test(value)) {
      symbols.set(symbol, gva(Number(BigInt.asIntN(64, BigInt(`0x${value}`)))));
    }
  }
  const physBase = values.get("NUMBER(phys_base)");
  const buildId = values.get("BUILD-ID");
  return {
    release: values.get("OSRELEASE")!,
    buildId: buildId !== undefined && /^([0-9a-f]{2}){1,32}$/.test(buildId) ? buildId : undefined,
    physBase: physBase !== undefined && /^-?\d{1,16}$/.test(physBase) ? Number(physBase) : undefined,
    levels: values.get("NUMBER(pgtable_l5_enabled)") === "1" ? 5 : 4,
    symbols,
  };
}
