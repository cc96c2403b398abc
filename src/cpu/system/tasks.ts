/**
 * Hardware task switches (SDM vol. 3A, 7.2 to 7.4): JMP, CALL, interrupts through task gates, IRET with NT. 32-bit and 16-bit
 * TSS; long mode has none. A switch has a point of no return (7.3, step 12): before it a fault belongs to the old task and nothing
 * has changed; after it a fault belongs to the new task, in front of its first instruction.
 */
import {
  CS,
  DS,
  ES,
  FS,
  GP,
  GS,
  GuestFault,
  LDTR,
  NP,
  SS_SEGMENT,
  type SystemContext,
  TR,
  TS,
  type Width,
} from "./access.ts";
import { checkTarget } from "./code.ts";
import {
  cacheOf,
  checkCodeMode,
  type Descriptor,
  dplOf,
  isCode,
  isConforming,
  isNull,
  isPresent,
  limitOf,
  markAccessed,
  nullCache,
  readDescriptor,
  setBusy,
  systemType,
  TYPE,
  UNUSABLE,
} from "./descriptors.ts";
import { CR0_PG, CR0_TS, EFLAGS_ALL, LOW32, NT, selectorFault, VM } from "./mode.ts";
import { loadPdptes } from "./pdpte.ts";
import { dataSegment, stackDescriptor, virtual8086Cache } from "./segments.ts";
import { currentStack } from "./stack.ts";

/**
 * An exception of a task that has just been switched to. CS, `rip` and all else are the new task's already: the exception is to be
 * delivered from that state, not from the instruction that made the switch.
 */
export class TaskFault extends GuestFault {}

/** Offsets in a TSS (SDM vol. 3A, figures 7-2 and 7-10). */
interface Layout {
  readonly width: Width;
  readonly cr3: number | undefined;
  readonly eip: number;
  readonly eflags: number;
  /** EAX ECX EDX EBX ESP EBP ESI EDI, one `width` after another. */
  readonly registers: number;
  /** Segment registers by number. */
  readonly segments: readonly (readonly [number: number, at: number])[];
  readonly ldt: number;
  /** Bit 0: debug trap on a switch to this task. */
  readonly trap: number | undefined;
  /** The lowest limit a TSS may have. */
  readonly limit: number;
}

const TSS32: Layout = {
  width: 4,
  cr3: 0x1c,
  eip: 0x20,
  eflags: 0x24,
  registers: 0x28,
  segments: [
    [ES, 0x48],
    [CS, 0x4c],
    [SS_SEGMENT, 0x50],
    [DS, 0x54],
    [FS, 0x58],
    [GS, 0x5c],
  ],
  ldt: 0x60,
  trap: 0x64,
  limit: 0x67,
};
const TSS16: Layout = {
  width: 2,
  cr3: undefined,
  eip: 0x0e,
  eflags: 0x10,
  registers: 0x12,
  segments: [
    [ES, 0x22],
    [CS, 0x24],
    [SS_SEGMENT, 0x26],
    [DS, 0x28],
  ],
  ldt: 0x2a,
  trap: undefined,
  limit: 0x2b,
};
const BACK_LINK = 0;
const REGISTERS = ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"];
/** The attribute bit that tells a 32-bit TSS from a 16-bit one. */
const WIDE_TSS = 8;

const DR6_BT = 0x8000;
/** L0 to L3 and LE, which a task switch clears (SDM vol. 3B, 18.2.4). */
const DR7_LOCAL = 0x155;

export interface TaskSwitch {
  /** The TSS to switch to, checked by availableTask or returnToTask. */
  readonly tss: Descriptor;
  /** "call" nests: CALL, and interrupts through a task gate. */
  readonly by: "jump" | "call" | "return";
  /** Saved for the old task. */
  readonly nextRip: bigint;
  readonly eflags: number;
  /** Pushed on the new task's stack; -1: none. */
  readonly errorCode: number;
  readonly ext: number;
}

/** The TSS that a JMP, CALL or task gate names: in the GDT, not busy, present. */
export function availableTask(c: SystemContext, selector: number, ext: number): Descriptor {
  if (isNull(selector) || selector & 4) throw selectorFault(GP, selector, ext);
  const d = readDescriptor(c, selector, GP, ext);
  const type = systemType(d);
  if (type !== TYPE.tss16 && type !== TYPE.tss32) throw selectorFault(GP, selector, ext);
  if (!isPresent(d)) throw selectorFault(NP, selector, ext);
  return d;
}

/** IRET of a nested task: back to the task that the current TSS links to. */
export function returnToTask(c: SystemContext, nextRip: bigint): void {
  const link = Number(c.memory.read(c.getSegment(TR).base & LOW32, 2, "system"));
  if (isNull(link) || link & 4) throw selectorFault(TS, link);
  const tss = readDescriptor(c, link, TS);
  const type = systemType(tss);
  if (type !== TYPE.busyTss16 && type !== TYPE.busyTss32) throw selectorFault(TS, link);
  if (!isPresent(tss)) throw selectorFault(NP, link);
  switchTask(c, { tss, by: "return", nextRip, eflags: c.getEflags() & ~NT, errorCode: -1, ext: 0 });
}

interface TaskState {
  readonly layout: Layout;
  readonly cr3: bigint;
  readonly eip: bigint;
  readonly eflags: number;
  readonly registers: readonly bigint[];
  readonly selectors: ReadonlyMap<number, number>;
  readonly ldt: number;
  readonly trap: boolean;
}

const layoutOf = (attributes: number): Layout => (attributes & WIDE_TSS ? TSS32 : TSS16);

export function switchTask(c: SystemContext, s: TaskSwitch): void {
  const { tss, ext } = s;
  const base = cacheOf(tss).base;
  const layout = layoutOf(tss.attributes);
  if (limitOf(tss) < layout.limit) throw selectorFault(TS, tss.selector, ext);
  const next = readTask(c, base, layout);
  const old = c.getSegment(TR);
  const oldLayout = layoutOf(old.attributes);
  if (old.attributes & UNUSABLE || old.limit < oldLayout.limit) throw selectorFault(TS, old.selector, ext);
  const oldDescriptor = readDescriptor(c, old.selector, TS, ext);

  const { memory } = c;
  memory.probeWrite((old.base + BigInt(oldLayout.eip)) & LOW32, oldLayout.ldt - oldLayout.eip, "system");
  memory.probeWrite((oldDescriptor.linear + 5n) & LOW32, 1, "system");
  memory.probeWrite((tss.linear + 5n) & LOW32, 1, "system");
  if (s.by === "call") memory.probeWrite(base & LOW32, 2, "system");

  if (s.by !== "call") setBusy(c, oldDescriptor.linear, oldDescriptor.attributes, false);
  saveTask(c, old.base, oldLayout, s);
  if (s.by === "call") memory.write((base + BigInt(BACK_LINK)) & LOW32, 2, BigInt(old.selector), "system");
  // Returning finds the busy bit set already.
  const attributes = setBusy(c, tss.linear, tss.attributes, true);

  // The point of no return.
  c.setSegment(TR, { ...cacheOf(tss), attributes });
  loadTask(c, next, s.by === "call");
  try {
    loadSegments(c, next, ext);
    if (s.errorCode >= 0) pushError(c, layout.width, s.errorCode, ext);
    checkTarget(c, c.getSegment(CS), next.eip, ext);
  } catch (fault) {
    c.updateMode();
    throw fault instanceof GuestFault ? new TaskFault(fault.vector, fault.errorCode) : fault;
  }
  if (next.trap) {
    c.r.set("dr6", c.r.get("dr6") | DR6_BT);
    throw new TaskFault(1);
  }
}

function readTask(c: SystemContext, base: bigint, layout: Layout): TaskState {
  const read = (at: number, width: Width = layout.width): bigint =>
    c.memory.read((base + BigInt(at)) & LOW32, width, "system");
  return {
    layout,
    cr3: layout.cr3 === undefined ? 0n : read(layout.cr3),
    eip: read(layout.eip),
    eflags: Number(read(layout.eflags)),
    registers: REGISTERS.map((_, i) => read(layout.registers + i * layout.width)),
    selectors: new Map(layout.segments.map(([number, at]) => [number, Number(read(at, 2))])),
    ldt: Number(read(layout.ldt, 2)),
    trap: layout.trap !== undefined && (read(layout.trap, 1) & 1n) !== 0n,
  };
}

/** Saves what changes as a task runs. CR3, LDTR and the inner stacks are the system's own. */
function saveTask(c: SystemContext, base: bigint, layout: Layout, s: TaskSwitch): void {
  const write = (at: number, value: bigint, width: Width = layout.width): void => {
    c.memory.write((base + BigInt(at)) & LOW32, width, BigInt.asUintN(width * 8, value), "system");
  };
  write(layout.eip, s.nextRip);
  write(layout.eflags, BigInt(s.eflags >>> 0));
  REGISTERS.forEach((name, i) => {
    write(layout.registers + i * layout.width, c.r.getBig(name));
  });
  for (const [number, at] of layout.segments) write(at, BigInt(c.getSegment(number).selector), 2);
}

/** Everything but the hidden parts of segments, which stay unusable until each is loaded. */
function loadTask(c: SystemContext, next: TaskState, nested: boolean): void {
  c.r.set("cr0", c.r.get("cr0") | CR0_TS);
  c.r.set("dr7", c.r.get("dr7") & ~DR7_LOCAL);
  if (next.layout.cr3 !== undefined && c.r.get("cr0") & CR0_PG) {
    loadPdptes(c, c.r.get("cr0"), c.r.get("cr4"), next.cr3);
    c.r.setBig("cr3", next.cr3);
    c.addressSpaceLoaded(false);
  }
  c.r.setBig("rip", next.eip);
  c.setEflags(((nested ? next.eflags | NT : next.eflags) & EFLAGS_ALL) | 2);
  REGISTERS.forEach((name, i) => {
    c.r.setBig(name, next.registers[i]!);
  });
  // A 16-bit TSS has no FS and GS: they become null.
  for (const number of [ES, CS, SS_SEGMENT, DS, FS, GS]) {
    c.setSegment(number, nullCache(next.selectors.get(number) ?? 0));
  }
  c.setSegment(LDTR, nullCache(next.ldt));
  c.setCpl(next.eflags & VM ? 3 : next.selectors.get(CS)! & 3);
  c.updateMode();
}

function loadSegments(c: SystemContext, next: TaskState, ext: number): void {
  loadLdt(c, next.ldt, ext);
  if (next.eflags & VM) {
    for (const [number, selector] of next.selectors) c.setSegment(number, virtual8086Cache(selector));
    c.updateMode();
    return;
  }
  const cs = next.selectors.get(CS)!;
  const cpl = cs & 3;
  const code = codeOfTask(c, cs, ext);
  c.setSegment(CS, cacheOf(markAccessed(c, code)));
  const ss = next.selectors.get(SS_SEGMENT)!;
  if (isNull(ss)) throw selectorFault(TS, ss, ext);
  c.setSegment(SS_SEGMENT, cacheOf(markAccessed(c, stackDescriptor(c, ss, cpl, TS, ext))));
  for (const number of [DS, ES, FS, GS]) {
    const selector = next.selectors.get(number) ?? 0;
    if (!isNull(selector)) c.setSegment(number, dataSegment(c, selector, cpl, TS, ext));
  }
  c.updateMode();
}

function loadLdt(c: SystemContext, selector: number, ext: number): void {
  if (isNull(selector)) return;
  if (selector & 4) throw selectorFault(TS, selector, ext);
  const d = readDescriptor(c, selector, TS, ext);
  if (systemType(d) !== TYPE.ldt || !isPresent(d)) throw selectorFault(TS, selector, ext);
  c.setSegment(LDTR, cacheOf(d));
}

function codeOfTask(c: SystemContext, selector: number, ext: number): Descriptor {
  const fault = () => selectorFault(TS, selector, ext);
  if (isNull(selector)) throw fault();
  const d = readDescriptor(c, selector, TS, ext);
  const dpl = dplOf(d.attributes);
  const rpl = selector & 3;
  if (!isCode(d.attributes)) throw fault();
  if (isConforming(d.attributes) ? dpl > rpl : dpl !== rpl) throw fault();
  checkCodeMode(c, d, fault);
  if (!isPresent(d)) throw selectorFault(NP, selector, ext);
  return d;
}

function pushError(c: SystemContext, width: Width, errorCode: number, ext: number): void {
  const stack = currentStack(c, false, ext);
  stack.push(width, errorCode);
  stack.commit();
  c.r.setBig("rsp", stack.pointer);
}
