/**
 * The state of one vCPU, declared once: every field with its type and meaning. Offsets, accessors, snapshot,
 * debugger and docs derive from this table. It lies at the start of the vCPU's area in linear memory, so that generated code
 * reaches a field with a constant address.
 */
import { DISTANCES } from "../isa/float/sse-fast.ts";

export type FieldType = "i32" | "i64" | "v128" | "v256" | "x80" | "bytes64";

const SIZE: Record<FieldType, number> = { i32: 4, i64: 8, v128: 16, v256: 32, x80: 16, bytes64: 64 };

/**
 * Part of the state: architectural fields are what a snapshot holds and lockstep compares; derived ones are
 * rebuilt from them; engine ones mean something only while generated code runs.
 */
export type FieldPart = "architectural" | "derived" | "engine";

interface FieldRow {
  readonly type: FieldType;
  readonly part: FieldPart;
  readonly about: string;
}

const table: Record<string, FieldRow> = {};

function field(name: string, type: FieldType, about: string, part: FieldPart = "architectural"): void {
  table[name] = { type, part, about };
}

export const GPR_NAMES = "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15".split(" ");
export const SEGMENT_NAMES = ["es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr"];

for (const name of GPR_NAMES) field(name, "i64", "general register");
field("rip", "i64", "offset in CS of the next instruction; current only outside generated code");

// Arithmetic flags are kept as the result they come from (SDM vol. 1, 3.4.3.1); see cpu/flags.ts for the encoding.
field("flagResult", "i64", "last result, sign-extended to 64 bits: ZF, SF and PF follow from it");
field("flagMisc", "i32", "bit 3 AF, bit 0 flips SF, bit 1 flips PF");
field("flagUpper", "i32", "upper half of what flagMisc holds while flags wait in another form", "engine");
field(
  "flagCarry",
  "i32",
  "carries out of the two top bits: bit 31 is CF, bit 31 ^ bit 30 is OF; the rest means nothing",
);
field(
  "flagKind",
  "i32",
  "form the flags wait in between regions of compiled code (jit/region-flags.ts); 0 for all others",
  "engine",
);
field("eflags", "i32", "EFLAGS without the arithmetic flags: TF IF DF IOPL NT RF VM AC VIF VIP ID and bit 1");

for (const name of SEGMENT_NAMES) {
  // The base first: eight bytes wide, it spaces the segments evenly.
  field(`${name}.base`, "i64", "linear base");
  field(`${name}.selector`, "i32", "visible part");
  field(
    `${name}.attributes`,
    "i32",
    "descriptor bits 40-55 (type S DPL P, AVL L DB G at 12-15); bit 16: unusable (null)",
  );
  field(`${name}.limit`, "i32", "in bytes, granularity applied");
}
field("gdtr.base", "i64", "");
field("gdtr.limit", "i32", "");
field("idtr.base", "i64", "");
field("idtr.limit", "i32", "");

for (const name of ["cr0", "cr2", "cr3", "cr4", "cr8", "dr0", "dr1", "dr2", "dr3", "dr6", "dr7", "xcr0"]) {
  field(name, "i64", "control or debug register");
}
for (let i = 0; i < 4; i++) field(`pdpte${i}`, "i64", "page-directory-pointer-table entry of PAE paging");
field("efer", "i64", "IA32_EFER");
field("cpl", "i32", "current privilege level");
field("star", "i64", "IA32_STAR");
field("lstar", "i64", "IA32_LSTAR");
field("cstar", "i64", "IA32_CSTAR");
field("fmask", "i64", "IA32_FMASK");
field("kernelGsBase", "i64", "IA32_KERNEL_GS_BASE");
field("sysenterCs", "i64", "IA32_SYSENTER_CS");
field("sysenterEsp", "i64", "IA32_SYSENTER_ESP");
field("sysenterEip", "i64", "IA32_SYSENTER_EIP");
field("tscAux", "i64", "IA32_TSC_AUX");
field("shadow", "i32", "for one instruction: 1 STI holds interrupts off, 2 a load of SS holds debug traps off too");
field("pendingDebug", "i32", "DR6 bits of debug traps that wait for the next boundary of instructions");
field("activity", "i32", "0 running, 1 halted, 2 shut down, 3 waiting for SIPI");
field("nmiBlocked", "i32", "1 from an NMI to the next IRET");

// x87 (SDM vol. 1, 8.1). MMX registers are the mantissas.
for (let i = 0; i < 8; i++)
  field(`fpr${i}`, "x80", "physical x87 register: 64-bit mantissa, then sign and exponent in 16 bits");
field("fcw", "i32", "x87 control word");
field("fsw", "i32", "x87 status word without TOP (bits 11-13 zero)");
field("ftop", "i32", "TOP, 0-7");
field("fempty", "i32", "bit per physical register: 1 where the tag says empty");
field("fop", "i32", "last x87 opcode, 11 bits");
field("fip", "i64", "last x87 instruction pointer");
field("fcs", "i32", "its selector");
field("fdp", "i64", "last x87 operand pointer");
field("fds", "i32", "its selector");

// SSE. Registers are 32 bytes apart: AVX uses the upper halves.
for (let i = 0; i < 16; i++) field(`ymm${i}`, "v256", "XMM register in the low 16 bytes");
field("mxcsr", "i32", "SSE control and status");

// Derived from the fields above.
field("watch", "i32", "what DR7 watches: 1 data, 2 instructions, 4 I/O", "derived");
field("codeBits", "i32", "16, 32 or 64: how instructions are decoded", "derived");
field("stackMask", "i64", "mask of the stack pointer: 16, 32 or 64 bits", "derived");
field("x87Trap", "i32", "1 where CR0.EM or TS makes x87 and MMX trap", "derived");
field("sseTrap", "i32", "1 where CR0.EM, CR0.TS or CR4.OSFXSR makes SSE trap", "derived");
field("avxTrap", "i32", "1 where CR0.TS, CR4.OSXSAVE or XCR0 makes AVX trap", "derived");

// Engine.
field("sseQuick", "i32", "15 where MXCSR was seen to round to nearest with PE set and masked", "engine");
for (const name of DISTANCES.keys())
  field(name, "v128", "constant of the fast path of SSE (isa/float/sse-fast.ts)", "engine");
field("tscOffset", "i64", "what the time-stamp counter is ahead of the machine's clock", "engine");
field("zero", "i64", "always zero: what an absent base, index or segment reads", "engine");
field("ripPage", "i64", "linear address of the page whose records run", "engine");
field("dataTlb", "i32", "address of the data TLB in use (by privilege)", "engine");
field("codeTlb", "i32", "address of the code TLB in use", "engine");
// While `codeMap` reads the same as it did at an earlier moment, every page that was in the code TLB in use at that moment, or has
// been entered in it since, still translates, for fetches at the present privilege and in the present mode, to the code page it had
// there, whether or not the entry itself has been replaced by another page's meanwhile. Each set of the code TLB has a number of
// its own, which comes back with the set: where the privilege or the address space returns and nothing was invalidated. A set gets a
// new number when it forgets a page of code: INVLPG, INVPCID, loads of CR3 and other control registers, changes of mode, of the
// code segment's limit and of breakpoints. The number says nothing of what is in the pages (stores, `codeEpoch`), nor of pages
// that are kept out of the code TLB. It comes round again after 2^32 changes.
field("codeMap", "i32", "changes when a translation of code that was in use may have become invalid", "engine");
field("codeMapLast", "i32", "the number given last", "engine");
field("walks", "i64", "walks of page tables that led to a page, since the vCPU was made", "engine");
field("tlbGroup", "i32", "address of the group of TLB sets of the current address space", "engine");
field("tlbUses", "i32", "counts choices of a group", "engine");
field("userGlobal", "i32", "1: user sets may hold global pages", "engine");
field("stepping", "i32", "1: one instruction runs by itself", "engine");
field("elementwise", "i32", "1: a pass of a repeated string instruction is one element", "engine");
field("stepTrap", "i32", "DR6.BS where the instruction that runs by itself ends in a single-step trap", "engine");
field("codeLimit", "i32", "CS limit the code TLB was filled under, outside 64-bit mode", "engine");
field(
  "attention",
  "i32",
  "not 0: the run loop has something to do before the next instruction; then more than any budget, unless a checkpoint follows",
  "engine",
);
field("pendingInterrupt", "i32", "1: an interrupt waits for EFLAGS.IF", "engine");
field("faultVector", "i32", "pending exception of the current instruction", "engine");
field("faultError", "i32", "its error code, or -1", "engine");
field("alignmentFree", "i32", "1: the instruction's accesses are not checked for alignment", "engine");
field("faultAddress", "i64", "linear address for CR2", "engine");
field("budget", "i32", "instructions left when generated code last returned", "engine");
field(
  "faultsTaken",
  "i32",
  "exceptions delivered since generated code was last entered: budget used, and not retired",
  "engine",
);
field("visitBudget", "i32", "budget with which compiled code in locals was entered last", "engine");
field("returnTop", "i32", "offset of the innermost call that copied code waits for", "engine");
field("firstRegion", "i32", "lowest table slot of compiled code", "engine");
field("codeEpoch", "i32", "goes up when all code pages are dropped", "engine");
field("scratch0", "i64", "hands 64-bit values to and from TypeScript", "engine");
field("scratch1", "i64", "the same", "engine");
field("scratch2", "i64", "the same", "engine");
field("bounce", "bytes64", "stands in for guest memory that is no plain RAM (device, page crossing)", "engine");
field("bounceHost", "i32", "host address of the RAM it stands for; 1: device memory", "engine");
field("bouncePhysical", "i64", "guest physical address of that device memory", "engine");
field("bounceHost2", "i32", "the same of the part on the next page", "engine");
field("bouncePhysical2", "i64", "the same", "engine");
field("bounceSplit", "i32", "bytes on the first page", "engine");
field("bounceLength", "i32", "bytes in all", "engine");
field("walkPhysical", "i64", "guest physical address the last page walk found", "engine");
field("walkFlags", "i32", "1 may be written without another walk, 2 global page, 4 user page", "engine");
field("ramLow", "i64", "bytes of RAM below the hole at 3 GiB", "engine");
field("ramHigh", "i64", "bytes of RAM above 4 GiB", "engine");
field(
  "codeKey",
  "i32",
  "mode in which code is decoded: 0 real 16, 1 protected 16, 2 protected 32, 3 64-bit, 4 real 32",
  "derived",
);

// Floating point runtime functions (cpu/float) work on these.
field(
  "floatFlags",
  "i32",
  "exceptions of the current operation, as MXCSR and FSW have them; bit 9: rounded up",
  "engine",
);
field("floatGather", "i32", "1: further lanes of the same instruction follow; exceptions wait for them", "engine");
field("floatMantissa", "i64", "64-bit result, or the mantissa of an 80-bit one", "engine");
field("floatExponent", "i32", "sign and exponent of an 80-bit result, in 16 bits", "engine");
field("floatVector", "v128", "128-bit result", "engine");
field("floatUpper", "v128", "upper half of a 256-bit result", "engine");

export type FieldName = string;

export interface Field extends FieldRow {
  readonly name: string;
  readonly offset: number;
}

/** Every field with its offset from the start of the vCPU's area. Naturally aligned, in order of declaration. */
export const FIELDS: ReadonlyMap<string, Field> = layOut();

function layOut(): Map<string, Field> {
  const fields = new Map<string, Field>();
  let offset = 0;
  for (const [name, row] of Object.entries(table)) {
    const size = SIZE[row.type];
    offset = Math.ceil(offset / Math.min(size, 32)) * Math.min(size, 32);
    fields.set(name, { name, offset, ...row });
    offset += size;
  }
  return fields;
}

/** Bytes a field of a type takes. */
export const fieldSize = (type: FieldType): number => SIZE[type];

/** Bytes the state takes. */
export const STATE_SIZE = 4096;

/** Throws on a name that is not declared. */
export function fieldOf(name: string): Field {
  const found = FIELDS.get(name);
  if (!found) throw new Error(`no CPU state field ${name}`);
  return found;
}

export const offsetOf = (name: string): number => fieldOf(name).offset;
