import type { Gpa } from "../../base/index.ts";

/**
 * The state in which a boot protocol hands the first vCPU to the kernel. The vmm sets the vCPU from it;
 * what is not named here is as after reset, with interrupts off. All numbers are below 2^53.
 */

/** How the vCPU executes at entry. */
export type EntryMode =
  /** Real mode; `rip` is an offset in the segment that `selectors.cs` names. */
  | "real16"
  /** CR0.PE on, paging off, 4 GiB segments at base 0, 32-bit code. */
  | "flat32"
  /** CR0.PE and PG, CR4.PAE, EFER.LME and LMA on, 64-bit code; `pageTables` goes to CR3. */
  | "long64";

/** The protocol that was chosen by the image's content. */
export type BootProtocol = "linux64" | "linux32" | "pvh" | "multiboot";

export interface Selectors {
  readonly cs: number;
  readonly ds: number;
  readonly es: number;
  readonly fs: number;
  readonly gs: number;
  readonly ss: number;
  readonly tr: number;
}

/** General registers a protocol gives a value; the others are 0. */
export interface EntryRegisters {
  readonly rax?: number;
  readonly rbx?: number;
  readonly rsi?: number;
}

interface EntryCommon {
  readonly protocol: BootProtocol;
  readonly rip: number;
  readonly rsp?: number;
  readonly registers: EntryRegisters;
  /** The descriptor table in guest RAM that the selectors index; `limit` is its last byte, as in GDTR. */
  readonly gdt: { readonly base: Gpa; readonly limit: number };
  readonly selectors: Selectors;
}

export type EntryState =
  | (EntryCommon & { readonly mode: "real16" | "flat32" })
  | (EntryCommon & { readonly mode: "long64"; readonly pageTables: Gpa });
