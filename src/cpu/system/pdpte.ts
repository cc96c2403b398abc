/** The page-directory-pointer-table entries of PAE paging, which the CPU loads with CR3 (SDM vol. 3A, 4.4.1). */
import { PHYSICAL_BITS } from "../runtime/paging.ts";
import { GP, GuestFault, type SystemContext } from "./access.ts";
import { CR0_PG } from "./mode.ts";

const CR4_PAE = 0x20;
const PRESENT = 1n;
/** Bits 1-2 and 5-8, and those above the physical address. */
const RESERVED = 0x1e6n | (((1n << 64n) - 1n) & ~((1n << BigInt(PHYSICAL_BITS)) - 1n));
const TABLE = 0xffff_ffe0n;
const EFER_LME = 0x100;

/** Loads them for the control registers a program is about to have. #GP(0) where one is present with a reserved bit; then none changes. */
export function loadPdptes(c: SystemContext, cr0: number, cr4: number, cr3: bigint): void {
  if ((cr0 & CR0_PG) === 0 || (cr4 & CR4_PAE) === 0 || (c.r.get("efer") & EFER_LME) !== 0) return;
  const table = cr3 & TABLE;
  const entries = [0n, 8n, 16n, 24n].map((at) => c.readPhysical(table + at));
  if (entries.some((entry) => (entry & PRESENT) !== 0n && (entry & RESERVED) !== 0n)) throw new GuestFault(GP, 0);
  entries.forEach((entry, i) => {
    c.r.setBig(`pdpte${i}`, entry);
  });
}
