/**
 * How x87 rows are declared: as others (row.ts), and what they do to the last instruction and operand pointers is
 * added to their meaning (SDM vol. 1, 8.1.8). Control instructions leave those alone and use `insn`.
 */
import { i32 } from "../../wasm/index.ts";
import type { Context, Meaning, Operand } from "../context.ts";
import { insn, type Row } from "../row.ts";

/**
 * Declares an instruction that computes or moves data. The pointers are noted last: a memory operand that faults
 * changes nothing.
 * Not modelled: the mod and r/m fields of the opcode register for memory operands, which a meaning cannot know.
 */
export function x87(mnemonic: string, meaning: Meaning, encodings: string): Row[] {
  return insn(mnemonic, meaning, encodings).map((row) => {
    const opcode = ((row.opcode & 7) << 8) | (row.fixed ?? (row.digit ?? 0) << 3);
    return { ...row, meaning: noting(row.meaning, opcode), attributes: new Set([...row.attributes, "fpu"]) };
  });
}

/** FSW.ES. */
const ERROR_SUMMARY = 0x80;
const SEGMENTS = ["es", "cs", "ss", "ds", "fs", "gs"] as const;

/**
 * The opcode register changes only where an exception is unmasked, as on all processors whose fopcode compatibility mode is off (8.1.9).
 */
function noting(meaning: Meaning, opcode: number): Meaning {
  return (m: Context, ...operands: Operand[]) => {
    meaning(m, ...operands);
    const memory = operands.find((o) => o.isMemory);
    const register = memory ? undefined : operands[0];
    m.set("fip", m.rip());
    m.set("fcs", m.get("cs.selector"));
    m.f.if(m.get("fsw").and(ERROR_SUMMARY), () => m.set("fop", register ? register.number().or(opcode) : i32(opcode)));
    if (!memory) return;
    m.set("fdp", memory.offset());
    const segment = m.dataSegment();
    const known = segment.known === undefined ? undefined : SEGMENTS[Number(segment.known)];
    m.set("fds", known ? m.get(`${known}.selector`) : m.runtimeFor("i32", "x87.selector", segment));
  };
}

/** The number of a register operand, ST(1) where the encoding has none. */
export const sti = (operand: Operand | undefined) => (operand ? operand.number() : i32(1));
