/** A view on the whole terminal: keys go to it, and it is drawn again after each, and when the terminal's size changes. */
import type { ReadStream, WriteStream } from "node:tty";
import { type Key, keysOf } from "../../perf/report/keyboard.ts";
import { paint, type ScreenLine, type ScreenSize } from "../../perf/report/screen.ts";
import { watchSignals } from "../interruption.ts";

export interface View {
  /** Answers whether to go on. */
  press(key: Key): boolean;
  screen(size: ScreenSize): readonly ScreenLine[];
}

/** Another screen than the shell's, no cursor, and lines that are too long are cut (xterm's private modes). */
const ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/** Whether there is someone to look and to press keys. */
export const isInteractive = (): boolean =>
  process.stdin.isTTY === true && process.stdout.isTTY === true && process.env["TERM"] !== "dumb";

/**
 * Shows a view until it has enough, the terminal goes away or a signal asks for the end: the status a shell would give that, or 0.
 * `live`: called with what draws the view again; what it returns is called at the end.
 */
export async function showView(view: View, live?: (redraw: () => void) => () => void): Promise<number> {
  const input = process.stdin as ReadStream;
  const output = process.stdout as WriteStream;
  const signals = watchSignals();
  let ended!: () => void;
  const end = new Promise<void>((resolve) => {
    ended = resolve;
  });
  const draw = (): void => {
    const size = { columns: output.columns || 80, rows: output.rows || 24 };
    output.write(paint(view.screen(size), size));
  };
  const onKeys = (read: string): void => {
    for (const key of keysOf(read)) {
      if (!view.press(key)) {
        ended();
        return;
      }
    }
    draw();
  };
  signals.listen(ended);
  input.setRawMode(true);
  input.setEncoding("utf8");
  output.write(ENTER);
  output.on("resize", draw);
  input.on("data", onKeys);
  input.on("end", ended);
  output.on("error", ended);
  const stop = live?.(draw);
  try {
    draw();
    await end;
  } finally {
    stop?.();
    output.off("resize", draw);
    output.off("error", ended);
    input.off("data", onKeys);
    input.off("end", ended);
    output.write(LEAVE);
    input.setRawMode(false);
    input.pause();
    signals.end();
  }
  return signals.status;
}
