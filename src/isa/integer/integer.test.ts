import { describe, expect, it } from "vitest";
import type { Row } from "../row.ts";
import { INTEGER_ROWS } from "./index.ts";

/** Everything a row can be told apart by, one string per ModRM byte and opcode it accepts in a mode. */
function patterns(row: Row, mode64: boolean): string[] {
  if (row.attributes.has(mode64 ? "i64" : "o64")) return [];
  const memoryOnly = row.operands.some((o) => ["mem", "farmem"].includes(o.kind));
  const registerOnly = row.operands.some((o) => ["rmreg", "mmrm", "xmmrm"].includes(o.kind));
  const found: string[] = [];
  for (let r = 0; r < (row.plusR ? 8 : 1); r++) {
    const opcode = `${row.vex ? "vex" : ""}${row.map}:${row.opcode + r} ${row.prefix ?? "any"} W${row.rexW ?? "any"}`;
    if (!row.modrm) {
      found.push(`${opcode} ${row.plusR ? "+r" : ""}`);
      continue;
    }
    for (let modrm = 0; modrm < 256; modrm++) {
      if (row.fixed !== undefined && (row.plusI ? modrm & 0xf8 : modrm) !== row.fixed) continue;
      if (row.digit !== undefined && ((modrm >> 3) & 7) !== row.digit) continue;
      if (modrm < 0xc0 ? registerOnly : memoryOnly) continue;
      // A fixed byte goes before a digit, a digit before any ModRM: rows of different kinds may share a byte.
      const kind = row.fixed !== undefined ? "fixed" : row.digit !== undefined ? "digit" : "any";
      found.push(`${opcode} ${modrm} ${kind}`);
    }
  }
  return found;
}

describe("the integer instructions", () => {
  it.each([true, false])("are told apart by their encodings (64-bit mode: %s)", (mode64) => {
    const seen = new Map<string, string>();
    const collisions: string[] = [];
    for (const row of INTEGER_ROWS) {
      for (const pattern of patterns(row, mode64)) {
        const other = seen.get(pattern);
        if (other !== undefined) collisions.push(`${other} / ${row.mnemonic} ${row.encoding} at ${pattern}`);
        seen.set(pattern, `${row.mnemonic} ${row.encoding}`);
      }
    }
    expect(collisions).toEqual([]);
  });

  it("cover the one-byte opcodes that SDM vol. 2, appendix A gives to them", () => {
    const covered = new Set<number>();
    for (const row of INTEGER_ROWS) {
      if (row.map === 0 && !row.vex) for (let r = 0; r < (row.plusR ? 8 : 1); r++) covered.add(row.opcode + r);
    }
    const missing = Array.from({ length: 256 }, (_, i) => i).filter((i) => !covered.has(i));
    // Segment registers, prefixes, 0F, ARPL, I/O, far transfers, WAIT and x87, PUSHF and POPF, INT, IRET, HLT, CLI and STI.
    const elsewhere = [
      0x06, 0x07, 0x0e, 0x0f, 0x16, 0x17, 0x1e, 0x1f, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0x6c, 0x6d, 0x6e,
      0x6f, 0x8e, 0x9a, 0x9b, 0x9c, 0x9d, 0xc4, 0xc5, 0xca, 0xcb, 0xcc, 0xcd, 0xce, 0xcf, 0xd8, 0xd9, 0xda, 0xdb, 0xdc,
      0xdd, 0xde, 0xdf, 0xe4, 0xe5, 0xe6, 0xe7, 0xea, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xfa, 0xfb,
    ];
    expect(missing).toEqual(elsewhere);
  });
});
