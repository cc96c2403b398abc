/** Shows on standard error how the default guest is built: a bar on a terminal, else a line for each step. */
import type { Progress, ProgressListener } from "../sys/node/index.ts";

const STAGES: Readonly<Record<Progress["stage"], string>> = {
  lists: "Reading",
  download: "Fetching",
  unpack: "Unpacking",
  store: "Storing",
};
const BAR_WIDTH = 24;
const ERASE_LINE = "\r\x1b[K";

export interface ProgressDisplay {
  readonly listener: ProgressListener;
  /** Takes the bar away again. */
  end(): void;
}

export interface ProgressTarget {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

export function progressDisplay(target: ProgressTarget): ProgressDisplay {
  let last = "";
  const show = target.isTTY === true ? bar : step;
  return {
    listener: (progress) => {
      const text = show(progress, (target.columns ?? 80) - 1);
      if (text === last) return;
      last = text;
      target.write(target.isTTY === true ? ERASE_LINE + text : `viv: ${text}\n`);
    },
    end: () => {
      if (target.isTTY === true && last !== "") target.write(ERASE_LINE);
    },
  };
}

const step = ({ stage, item }: Progress): string => `${STAGES[stage]} ${item}`;

function bar(progress: Progress, width: number): string {
  const { done, total } = progress;
  const title = step(progress);
  if (total <= 0) return title.slice(0, width);
  const part = Math.min(1, Math.max(0, done / total));
  const full = Math.round(part * BAR_WIDTH);
  const drawn = `[${"#".repeat(full)}${"-".repeat(BAR_WIDTH - full)}]`;
  return `${drawn} ${String(Math.floor(part * 100)).padStart(3)}% ${title}`.slice(0, width);
}
