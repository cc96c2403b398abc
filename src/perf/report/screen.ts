/** A screen of text for a terminal (ECMA-48): lines of spans, each with a style. */

export type Style = "plain" | "hot" | "warm" | "title" | "dim";

export interface Span {
  readonly text: string;
  readonly style?: Style;
}

export interface ScreenLine {
  readonly spans: readonly Span[];
  /** Under the cursor. */
  readonly selected?: boolean;
}

export interface ScreenSize {
  readonly columns: number;
  readonly rows: number;
}

const SGR: Readonly<Record<Style, string>> = {
  plain: "",
  hot: "\x1b[31m",
  warm: "\x1b[32m",
  title: "\x1b[1m",
  dim: "\x1b[2m",
};
const RESET = "\x1b[0m";
const REVERSE = "\x1b[7m";
const HOME = "\x1b[H";
const ERASE_LINE = "\x1b[K";
const ERASE_BELOW = "\x1b[J";

/** Shares that perf shows in red and in green. */
const HOT = 5;
const WARM = 0.5;

export const heat = (percent: number): Style => (percent >= HOT ? "hot" : percent >= WARM ? "warm" : "plain");

export const line = (text: string, style: Style = "plain"): ScreenLine => ({ spans: [{ text, style }] });

/** What draws the screen over whatever stands there. All text in it is fit for a terminal already. */
export function paint(lines: readonly ScreenLine[], { columns, rows }: ScreenSize): string {
  const drawn = lines.slice(0, rows).map(({ spans, selected }) => {
    let left = columns;
    let text = selected === true ? REVERSE : "";
    for (const span of spans) {
      const cut = [...span.text].slice(0, Math.max(0, left)).join("");
      left -= [...cut].length;
      const style = SGR[span.style ?? "plain"];
      text += style === "" ? cut : `${style}${cut}${RESET}${selected === true ? REVERSE : ""}`;
    }
    if (selected === true) text += `${" ".repeat(Math.max(0, left))}${RESET}`;
    return text + ERASE_LINE;
  });
  return `${HOME}${drawn.join("\r\n")}${ERASE_BELOW}`;
}

/** First line to show so that `cursor` can be seen, as near to `top` as may be. */
export const scrolled = (top: number, cursor: number, count: number, room: number): number =>
  Math.max(0, Math.min(Math.max(Math.min(top, cursor), cursor - room + 1), Math.max(0, count - room)));
