/** What a terminal sends for its keys (ECMA-48, and what xterm adds). */

/** A name, or the character itself. */
export type Key =
  | { readonly name: NamedKey; readonly text?: undefined }
  | { readonly name?: undefined; readonly text: string };

export type NamedKey =
  | "up"
  | "down"
  | "left"
  | "right"
  | "page-up"
  | "page-down"
  | "home"
  | "end"
  | "enter"
  | "escape"
  | "backspace"
  | "tab"
  | "interrupt"
  | "redraw"
  | "clear"
  | "other";

const FINAL: Readonly<Record<string, NamedKey>> = {
  A: "up",
  B: "down",
  C: "right",
  D: "left",
  H: "home",
  F: "end",
};
const NUMBERED: Readonly<Record<string, NamedKey>> = {
  "1": "home",
  "4": "end",
  "5": "page-up",
  "6": "page-down",
  "7": "home",
  "8": "end",
};
const CONTROL: Readonly<Record<string, NamedKey>> = {
  "\r": "enter",
  "\n": "enter",
  "\x03": "interrupt",
  "\x0c": "redraw",
  "\x15": "clear",
  "\x7f": "backspace",
  "\b": "backspace",
  "\t": "tab",
  "\x1b": "escape",
};

/** CSI parameters and final character, SS3 and its character, or a single character. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: terminals send them
const SEQUENCE = /\x1b\[([0-9;?]*)([@-~])|\x1bO([A-Za-z])|[\s\S]/gu; // oxlint-disable-line no-control-regex

/** The keys in what was read at once. A lone escape at its end is the key itself. */
export function keysOf(read: string): readonly Key[] {
  return [...read.matchAll(SEQUENCE)].map(([all, parameters, final, single]): Key => {
    if (final !== undefined) {
      const name = final === "~" ? NUMBERED[parameters!.split(";")[0]!] : FINAL[final];
      return { name: name ?? "other" };
    }
    if (single !== undefined) return { name: FINAL[single] ?? (single === "M" ? "enter" : "other") };
    const name = CONTROL[all];
    if (name !== undefined) return { name };
    return all < " " ? { name: "other" } : { text: all };
  });
}
