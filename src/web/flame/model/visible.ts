/** Names as text that can neither hide nor rearrange what stands beside it. */

/** Control characters, what reorders or joins text, what has no width, tags, and halves of surrogate pairs. */
const TREACHEROUS =
  /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u{61c}\u{115f}\u{1160}\u{180e}\u{200b}-\u{200f}\u{202a}-\u{202e}\u{2060}-\u{206f}\u{3164}\u{feff}\u{ffa0}\u{e0000}-\u{e0fff}]/gu;

export const visible = (text: string): string =>
  text.replace(TREACHEROUS, (c) => `\\u{${c.codePointAt(0)!.toString(16)}}`);
