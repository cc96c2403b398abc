/** Guests' names as they may reach a terminal or a text file. */

/** Control characters, and those that change the direction of text or cannot be seen. */
const CONTROL = /[\p{Cc}\p{Cf}\u2028\u2029]/gu;

/** `name` without anything that a terminal obeys: escaped as \xNN or \uNNNN. */
export const printable = (name: string): string =>
  name.replace(CONTROL, (c) => {
    const code = c.codePointAt(0)!;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
  });
