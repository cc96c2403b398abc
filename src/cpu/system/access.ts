/**
 * What the system instructions written in TypeScript work with: registers, guest memory with faults, descriptors.
 * They are rare; 64-bit linear addresses are BigInt here.
 */
import type { Registers } from "../registers.ts";

/** An architectural exception on its way to the guest. Thrown inside system operations only; it never leaves `cpu/`. */
export class GuestFault extends Error {
  readonly vector: number;
  /** -1: this exception pushes no error code. */
  readonly errorCode: number;
  constructor(vector: number, errorCode = -1) {
    super(`guest exception ${vector}`);
    this.vector = vector;
    this.errorCode = errorCode;
  }
}

export const UD = 6;
export const NM = 7;
export const DF = 8;
export const TS = 10;
export const NP = 11;
export const SS = 12;
export const GP = 13;
export const PF = 14;

export type Width = 1 | 2 | 4 | 8;

/** Who makes an access: the program at its CPL, or the CPU itself (descriptor tables, TSS) as supervisor. */
export type Privilege = "program" | "system";

export interface SystemMemory {
  /** Reads guest memory at a linear address; a page fault throws GuestFault (CR2 is set when it is delivered). */
  read(linear: bigint, width: Width, privilege: Privilege): bigint;
  write(linear: bigint, width: Width, value: bigint, privilege: Privilege): void;
  /** Throws as a write would, changing nothing. */
  probeWrite(linear: bigint, length: number, privilege: Privilege): void;
}

/** A segment register's hidden part, as state.ts keeps it. */
export interface SegmentCache {
  readonly selector: number;
  /** Descriptor bits 40-55; bit 16: unusable. */
  readonly attributes: number;
  readonly limit: number;
  readonly base: bigint;
}

/** Segment numbers of the instruction set; LDTR and TR follow. */
export const ES = 0;
export const CS = 1;
export const SS_SEGMENT = 2;
export const DS = 3;
export const FS = 4;
export const GS = 5;
export const LDTR = 6;
export const TR = 7;

export interface SystemContext {
  readonly r: Registers;
  readonly memory: SystemMemory;
  /** Bits of a linear address on this CPU model: 48 or 57. */
  readonly linearBits: number;
  getSegment(number: number): SegmentCache;
  /** Takes a segment over as it is given; derived state (mode, stack mask, CPL-dependent TLB) follows by updateMode. */
  setSegment(number: number, cache: SegmentCache): void;
  /** Arithmetic flags and the rest, as EFLAGS. */
  getEflags(): number;
  setEflags(value: number): void;
  /** Changes CPL; derived state follows by updateMode. */
  setCpl(cpl: number): void;
  /** Recomputes what derives from CR0, CR4, EFER, EFLAGS.VM, CS, SS, CPL. Call after changing any of them. */
  updateMode(): void;
  /** Forgets what the TLB knows of every address space: all, or what is not global. */
  flushTlb(global: boolean): void;
  /** Forgets what is not global of a PCID, and all it knows of one page. */
  flushPcid(pcid: number): void;
  flushPage(pcid: number, linear: bigint): void;
  /** CR3 was loaded; `keep`: what is known of its PCID stays. */
  addressSpaceLoaded(keep: boolean): void;
  /** Eight bytes of guest physical memory; zero where there is no RAM. */
  readPhysical(gpa: bigint): bigint;
}
