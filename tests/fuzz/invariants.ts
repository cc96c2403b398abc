/** What holds of a vCPU's state between any two instructions, whatever the guest did. */
import type { Cpu } from "../../src/cpu/index.ts";
import { CODE_TLB_BASE, TLB_BASE, TLB_GROUP, TLB_NONE, TLB_SET_SIZE } from "../../src/cpu/memory-map.ts";
import { SEGMENT_NAMES } from "../../src/cpu/state.ts";
import { RAM_SIZE } from "./layout.ts";

type Rule = readonly [says: string, holds: (cpu: Cpu) => boolean];

const within = (name: string, most: number): Rule => [
  `${name} is at most ${most.toString(16)}`,
  ({ r }) => r.get(name) <= most,
];
const zeroHigh = (name: string): Rule => [`${name} has 32 bits`, ({ r }) => r.getHigh(name) === 0];

const canonical = (value: bigint, bits: number): boolean => BigInt.asIntN(64, value) === BigInt.asIntN(bits, value);
const isLong = ({ r }: Cpu): boolean => (r.get("efer") & 0x400) !== 0;
const isProtected = ({ r }: Cpu): boolean => (r.get("cr0") & 1) !== 0;
const isVirtual = ({ r }: Cpu): boolean => isProtected({ r } as Cpu) && (r.get("eflags") & 0x2_0000) !== 0;

const RULES: readonly Rule[] = [
  ["the field zero is zero", ({ r }) => r.getBig("zero") === 0n],
  ["no exception is pending", ({ r }) => r.get("faultVector") === 0xffff_ffff],
  within("cpl", 3),
  within("ftop", 7),
  within("fempty", 255),
  within("fop", 0x7ff),
  within("fcs", 0xffff),
  within("fds", 0xffff),
  within("activity", 3),
  within("shadow", 2),
  within("nmiBlocked", 1),
  within("pendingInterrupt", 1),
  within("codeKey", 4),
  within("gdtr.limit", 0xffff),
  within("idtr.limit", 0xffff),
  within("mxcsr", 0xffff),
  within("fcw", 0xffff),
  within("cr8", 15),
  ...["cr0", "cr4", "cr8", "dr6", "dr7", "xcr0", "efer"].map(zeroHigh),
  ["FSW has no TOP", ({ r }) => (r.get("fsw") & 0x3800) === 0 && r.get("fsw") <= 0xffff],
  [
    "EFLAGS has bit 1, nothing undefined and no arithmetic flags",
    ({ r }) => (r.get("eflags") & ~0x3f_7702) === 0 && (r.get("eflags") & 2) !== 0,
  ],
  ["paging needs protection", ({ r }) => (r.get("cr0") & 0x8000_0001) >>> 0 !== 0x8000_0000],
  ["LMA is LME and PG", (c) => isLong(c) === ((c.r.get("efer") & 0x100) !== 0 && (c.r.get("cr0") & 0x8000_0000) !== 0)],
  ["long mode has PAE", (c) => !isLong(c) || (c.r.get("cr4") & 0x20) !== 0],
  ["long mode has no virtual-8086 mode", (c) => !isLong(c) || (c.r.get("eflags") & 0x2_0000) === 0],
  ["virtual-8086 mode has CPL 3", (c) => !isVirtual(c) || c.r.get("cpl") === 3],
  ["real mode has CPL 0", (c) => isProtected(c) || c.r.get("cpl") === 0],
  [
    "codeBits follows CS",
    (c) => {
      const attributes = c.r.get("cs.attributes");
      return (
        c.r.get("codeBits") === (isLong(c) && (attributes & 0x2000) !== 0 ? 64 : (attributes & 0x4000) !== 0 ? 32 : 16)
      );
    },
  ],
  [
    "codeKey follows codeBits and mode",
    (c) => {
      const { r } = c;
      const plain = isProtected(c) && !isVirtual(c);
      const bits = r.get("codeBits");
      return r.get("codeKey") === (bits === 64 ? 3 : bits === 32 ? (plain ? 2 : 4) : plain ? 1 : 0);
    },
  ],
  [
    "stackMask follows SS",
    ({ r }) =>
      r.getBig("stackMask") ===
      (r.get("codeBits") === 64
        ? 0xffff_ffff_ffff_ffffn
        : (r.get("ss.attributes") & 0x4000) !== 0
          ? 0xffff_ffffn
          : 0xffffn),
  ],
  ["x87Trap follows CR0", ({ r }) => r.get("x87Trap") === ((r.get("cr0") & 0xc) !== 0 ? 1 : 0)],
  [
    "sseTrap follows CR0 and CR4",
    ({ r }) => r.get("sseTrap") === ((r.get("cr0") & 0xc) !== 0 || (r.get("cr4") & 0x200) === 0 ? 1 : 0),
  ],
  [
    "avxTrap follows CR0, CR4 and XCR0",
    ({ r }) =>
      r.get("avxTrap") ===
      ((r.get("cr0") & 8) !== 0 || (r.get("cr4") & 0x4_0000) === 0 || (r.get("xcr0") & 6) !== 6 ? 1 : 0),
  ],
  [
    "the code TLB is that of the privilege",
    ({ r }) => r.get("codeTlb") === (r.get("cpl") === 3 ? r.get("tlbGroup") + TLB_GROUP.code : CODE_TLB_BASE),
  ],
  [
    "the data TLB is that of the privilege",
    ({ r }) => {
      const ac = (r.get("eflags") & 0x4_0000) !== 0;
      const open = (r.get("cr4") & 0x20_0000) !== 0 && ac;
      const user = ac && (r.get("cr0") & 0x4_0000) !== 0 ? TLB_NONE : r.get("tlbGroup");
      return r.get("dataTlb") === (r.get("cpl") === 3 ? user : TLB_BASE + (open ? TLB_SET_SIZE : 0));
    },
  ],
  [
    "RIP is canonical or has 32 bits",
    (c) => {
      if (c.r.get("codeBits") !== 64) return c.r.getHigh("rip") === 0;
      // One byte past the end of the lower half is where the next instruction faults.
      const rip = c.r.getBig("rip");
      return canonical(rip, 57) || rip === 1n << 56n || rip === 1n << 47n;
    },
  ],
  ["the general registers of 32-bit code", (c) => c.getEflags() >= 0],
  ["RAM has its size", ({ r }) => r.getNumber("ramLow") === RAM_SIZE && r.getNumber("ramHigh") === 0],
  ...SEGMENT_NAMES.map(
    (name): Rule => [
      `${name} has a selector of 16 bits and known attributes`,
      ({ r }) => r.get(`${name}.selector`) <= 0xffff && r.get(`${name}.attributes`) <= 0x1_f0ff,
    ],
  ),
];

/** The first rule that is broken. */
export function brokenRule(cpu: Cpu): string | undefined {
  return RULES.find(([, holds]) => !holds(cpu))?.[0];
}
