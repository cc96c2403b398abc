/** Encodings of segment and far instructions, against iced-x86. */
import { DecoderOptions, Decoder as Disassembler, Mnemonic } from "iced-x86";
import { describe, expect, it } from "vitest";
import { Decoded, Decoder } from "../decode.ts";
import type { Row } from "../row.ts";
import { ROWS } from "../rows.ts";
import { FAR_ROWS } from "./far.ts";
import { SEGMENT_ROWS } from "./segments.ts";

const MODES = [16, 32, 64] as const;
const PREFIXES = [[], [0x66], [0x67], [0x48], [0x66, 0x67]];
const TAIL = [0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x08, 0x09];

/** The opcode of a row, with register and memory forms of its ModRM byte. */
function* codes(row: Row): Generator<number[]> {
  const opcode = [...(row.map === 1 ? [0x0f] : []), row.opcode];
  if (!row.modrm) yield opcode;
  // Register; [reg]; [reg+disp8]; displacement alone.
  else for (const rm of [0xc1, 0x07, 0x43, 0x05]) yield [...opcode, rm | ((row.digit ?? 2) << 3)];
}

const names = (row: Row, size: number): string => {
  if (row.mnemonic === "RETF") return "Retf";
  if (row.mnemonic === "IRET") return { 16: "Iret", 32: "Iretd", 64: "Iretq" }[size]!;
  return row.mnemonic[0] + row.mnemonic.slice(1).toLowerCase();
};

describe("segment and far instructions", () => {
  const decoder = new Decoder(ROWS, new Set());
  const decoded = new Decoded();

  it.each(MODES)("are decoded as a disassembler does (%i bits)", (codeBits) => {
    let compared = 0;
    for (const row of [...SEGMENT_ROWS, ...FAR_ROWS]) {
      for (const code of codes(row)) {
        for (const prefix of PREFIXES) {
          if (prefix[0] === 0x48 && codeBits !== 64) continue;
          const bytes = new Uint8Array([...prefix, ...code, ...TAIL]);
          const outcome = decoder.decode(bytes, 0, bytes.length, { codeBits, protectedMode: true }, decoded);
          const disassembler = new Disassembler(codeBits, bytes, DecoderOptions.None);
          const theirs = disassembler.decode();
          const text = `${codeBits} bits, ${Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join(" ")}`;
          if (theirs.isInvalid) expect(`${text}: ${outcome}`).toBe(`${text}: undefined`);
          else {
            const mine = outcome === "ok" ? `${names(decoded.row, decoded.size)} ${decoded.length}` : outcome;
            expect(`${text}: ${mine}`).toBe(`${text}: ${Mnemonic[theirs.mnemonic]} ${theirs.length}`);
          }
          theirs.free();
          disassembler.free();
          compared++;
        }
      }
    }
    expect(compared).toBeGreaterThan(300);
  });
});
