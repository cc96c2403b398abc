/** Processor time of a thread, as Linux tells it (proc(5)). */
import { readFileSync, readlinkSync } from "node:fs";

const NS_PER_MS = 1e6;

/** What the system calls the calling thread; undefined where it is not Linux. */
export function threadId(): number | undefined {
  try {
    return Number(readlinkSync("/proc/thread-self").split("/").at(-1));
  } catch {
    return undefined;
  }
}

/** Milliseconds that a thread of this process has run so far; undefined where the host does not tell, or where it has ended. */
export function threadTime(thread: number): number | undefined {
  try {
    const [ran] = readFileSync(`/proc/self/task/${thread}/schedstat`, "latin1").split(" ");
    return Number(ran) / NS_PER_MS;
  } catch {
    return undefined;
  }
}

/** When the kernel started a process, in its own ticks: with the number that names it for ever. */
export function processStart(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The name in parentheses may hold anything; field 22 is the 20th behind it.
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);
  } catch {
    return undefined;
  }
}
