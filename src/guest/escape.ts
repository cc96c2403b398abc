/**
 * A guest's text made harmless for a terminal: what would move the cursor, change colours, retitle the window, answer
 * back, reorder the line or hide shows as the escape that stands for it. Everything else stays as it is; a backslash
 * too, so the result is for reading, not for reading back.
 */

/**
 * C0 and C1 control codes (ESC, CSI, OSC among them), DEL, line and paragraph separators, and lone surrogates, which
 * stand for bytes that are no UTF-8 (text.ts). Format characters (category Cf): bidirectional controls, with which one
 * name looks like another (CVE-2021-42574), joiners, tags, byte-order marks. What Unicode has not assigned, a
 * terminal's width table may not know.
 */
const HARMFUL = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}]/gu;

/**
 * A run of combining marks is drawn over the lines above: more than this many on one character are shown as escapes.
 */
const STACKED_MARKS = /(\p{M}{4})(\p{M}+)/gu;

const NAMED: Readonly<Record<string, string>> = { "\n": "\\n", "\t": "\\t", "\r": "\\r", "\x1b": "\\e" };

function escapeOne(character: string): string {
  const named = NAMED[character];
  if (named !== undefined) return named;
  const code = character.codePointAt(0)!;
  if (code >= 0xdc80 && code < 0xdd00) return hexByte(code - 0xdc00);
  return code < 0xa0 ? hexByte(code) : `\\u{${code.toString(16)}}`;
}

const hexByte = (byte: number): string => `\\x${byte.toString(16).padStart(2, "0")}`;

/** `text` as one line that a terminal, a log or a table can show. */
export const forTerminal = (text: string): string =>
  text
    .replace(HARMFUL, escapeOne)
    .replace(STACKED_MARKS, (_all, first: string, rest: string) => first + Array.from(rest, escapeOne).join(""));
