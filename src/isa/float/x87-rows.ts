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

function noting(meaning: Meaning, opcode: number): Meaning {
  return (m: Context, ...operands: Operand[]) => {
    meaning(m, ...operands);
    const memory = operands.find((o) => o.isMemory);
    if (memory) m.runtime("x87.noteOperand", m.rip(), i32(opcode), memory.offset(), m.dataSegment());
    else {
      const register = operands[0];
      m.runtime("x87.note", m.rip(), register ? register.number().or(opcode) : i32(opcode));
    }
  };
}

/** The number of a register operand, ST(1) where the encoding has none. */
export const sti = (operand: Operand | undefined) => (operand ? operand.number() : i32(1));
