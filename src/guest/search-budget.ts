/**
 * What one search for a kernel may cost. Each step has a bound of its own, but a guest can make steps lead to steps; so all
 * of a search share these. A guest that uses them up hides itself, and nothing else.
 */
const ALLOWED = {
  /** Page tables that are looked at for an image: each may map 262,144 pages one by one. */
  roots: 48,
  /** Images that are searched whole, for symbols and a banner. A kernel has one, and page tables in the making parts of it. */
  images: 8,
  /** Places that begin like a token table. RAM of 512 MiB has some 20. */
  places: 1024,
  /** Token tables whose symbols are read: up to a million each, in every layout. */
  tables: 32,
  /** Arrays that look like kallsyms_markers: the names that they lie behind are copied. */
  arrays: 256,
  /** Names that are read and may turn out not to be any. */
  readings: 512,
  /** Pages that begin like VMCOREINFO. */
  vmcoreinfo: 64,
} as const;

export class SearchBudget {
  readonly #left: Record<keyof typeof ALLOWED, number> = { ...ALLOWED };

  /** False where nothing is left. */
  spend(what: keyof typeof ALLOWED): boolean {
    return this.#left[what]-- > 0;
  }
}
