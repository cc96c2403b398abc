/** The operations of segments and far transfers as generated code calls them: operands in scratch0 to scratch2, result in scratch0. */
import type { OperationName } from "../../isa/system/operation-names.ts";
import type { SystemContext } from "./access.ts";
import { endGuard, noteDebug } from "./debug.ts";
import { farTransfer, type OperandSize } from "./far.ts";
import { deliver, softwareInterrupt } from "./interrupts.ts";
import { farReturn, interruptReturn } from "./returns.ts";
import { accessRights, loadLdtr, loadSegment, loadTaskRegister, mayRead, mayWrite, segmentLimit } from "./segments.ts";

type Operation = (c: SystemContext) => void;

const selector = (c: SystemContext): number => c.r.get("scratch0") & 0xffff;
const size = (c: SystemContext, field: "scratch0" | "scratch1"): OperandSize => c.r.get(field) as OperandSize;
const nextRip = (c: SystemContext): bigint => c.r.getBig("scratch2");

/** A result and, in scratch1, ZF. */
const answer = (ask: (c: SystemContext, selector: number) => number | undefined): Operation => {
  return (c) => {
    const value = ask(c, selector(c));
    c.r.setNumber("scratch0", value === undefined ? 0 : value >>> 0);
    c.r.setNumber("scratch1", value === undefined ? 0 : 1);
  };
};
const verdict = (ask: (c: SystemContext, selector: number) => boolean): Operation =>
  answer((c, s) => (ask(c, s) ? 1 : undefined));

/** Software interrupts clear TF as a part of what they do: no single-step trap follows them. */
const interrupt = (c: SystemContext, kind: "software" | "icebp", vector: number): void => {
  deliver(c, { vector, errorCode: -1, kind, nextRip: nextRip(c) });
  c.r.set("stepTrap", 0);
};

/** scratch0: offset, scratch1: selector with the operand size above it, scratch2: address of the next instruction. */
const far = (kind: "jump" | "call"): Operation => {
  return (c) => {
    const packed = c.r.get("scratch1");
    farTransfer(c, {
      kind,
      selector: packed & 0xffff,
      offset: c.r.getBig("scratch0"),
      size: (packed >>> 16) as OperandSize,
      nextRip: nextRip(c),
    });
  };
};

export const TRANSFER_OPERATIONS = {
  /** scratch0: selector, scratch1: number of the segment register. */
  load_segment: (c) => loadSegment(c, c.r.get("scratch1"), selector(c)),
  lldt: (c) => loadLdtr(c, selector(c)),
  ltr: (c) => loadTaskRegister(c, selector(c)),
  lar: answer(accessRights),
  lsl: answer(segmentLimit),
  verr: verdict(mayRead),
  verw: verdict(mayWrite),
  far_jump: far("jump"),
  far_call: far("call"),
  /** scratch0: bytes to release, scratch1: operand size. */
  far_return: (c) => farReturn(c, size(c, "scratch1"), c.r.get("scratch0")),
  /** scratch0: operand size, scratch2: address of the next instruction. */
  iret: (c) => interruptReturn(c, size(c, "scratch0"), nextRip(c)),
  /** scratch0: vector, scratch2: address of the next instruction. */
  int_n: (c) => {
    softwareInterrupt(c, c.r.get("scratch0"), nextRip(c));
    c.r.set("stepTrap", 0);
  },
  /** INT3 and INTO: the same, whatever IOPL is in virtual-8086 mode. */
  software_interrupt: (c) => interrupt(c, "software", c.r.get("scratch0")),
  /** INT1: scratch2 as above. What a load of SS held off is told of by the same exception. */
  icebp: (c) => {
    interrupt(c, "icebp", 1);
    const held = c.r.get("pendingDebug");
    if (held !== 0) noteDebug(c, held);
    c.r.set("pendingDebug", 0);
    endGuard(c);
  },
} satisfies Partial<Record<OperationName, Operation>>;
