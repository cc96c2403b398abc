/** Runs one contender's process and reads what it prints, line by line, as it comes. */
import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import type { Command } from "./contenders.ts";

export interface Line {
  readonly text: string;
  /** Milliseconds since the process was started. */
  readonly wallMs: number;
  readonly pid: number;
}

export interface Watch {
  /** What the process is, for messages. */
  readonly what: string;
  readonly command: Command;
  /** The longest time without a line. */
  readonly silenceMs: number;
  /** Told at once which process it is. */
  onStart?(pid: number): void;
  /** Told each line; true ends the watch, and the process with it. */
  onLine(line: Line): boolean;
}

/** Lines of what a process printed that are worth showing where it failed. */
const KEPT = 12;

/** Settles when `onLine` says so; rejects where the process ends before, or falls silent. */
export function watch({ what, command: { words, directory }, silenceMs, onStart, onLine }: Watch): Promise<void> {
  return new Promise((resolve, reject) => {
    const started = performance.now();
    const child = spawn(words[0]!, words.slice(1), {
      stdio: ["ignore", "pipe", "pipe"],
      ...(directory !== undefined && { cwd: directory }),
    });
    const kept: string[] = [];
    let rest = "";
    let settled = false;
    const settle = (error?: Error): void => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      child.kill("SIGKILL");
      // The next one begins when this one has left the processor.
      if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) finish(error);
      else child.once("exit", () => finish(error));
    };
    const finish = (error?: Error): void => (error ? reject(error) : resolve());
    const fail = (why: string): void => settle(new Error([`${what} ${why}`, words.join(" "), ...kept].join("\n  ")));
    const timer = setTimeout(() => fail(`printed nothing in ${silenceMs / 1000} s`), silenceMs);
    if (child.pid !== undefined) onStart?.(child.pid);
    const keep = (text: string): void => {
      kept.push(text);
      if (kept.length > KEPT) kept.shift();
    };
    child.on("error", (error) => fail(`cannot be run: ${error.message}`));
    child.on("close", (code, signal) => fail(`ended early (${signal ?? code})`));
    child.stderr.on("data", (data: Buffer) => keep(data.toString().trimEnd()));
    child.stdout.on("data", (data: Buffer) => {
      const wallMs = performance.now() - started;
      timer.refresh();
      const lines = (rest + data.toString("latin1")).split(/\r*\n/);
      rest = lines.pop()!;
      for (const text of lines) {
        keep(text);
        if (settled) continue;
        try {
          if (onLine({ text, wallMs, pid: child.pid! })) settle();
        } catch (error) {
          settle(error as Error);
        }
      }
    });
  });
}

/** CPU time of a living process's threads, in nanoseconds; exact while they sleep (proc(5), schedstat). */
export function cpuNs(pid: number): number {
  let sum = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    try {
      sum += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ", 1)[0]);
    } catch {
      // It has ended since.
    }
  }
  return sum;
}

/** CPU time of a living process, threads that have ended included, in milliseconds (proc(5), /proc/PID/stat). */
export function cpuMs(pid: number): number {
  // utime and stime, in clock ticks: a hundred a second on x86 Linux.
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /s, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
