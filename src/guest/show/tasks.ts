/** Processes as `ps` shows them. */
import type { Listing } from "../lists.ts";
import { taskTree } from "../task-tree.ts";
import type { Process, Task } from "../tasks.ts";
import { type Column, showGaps, showTable } from "./table.ts";

/** Levels that are indented: a chain of parents as long as the list would make its text grow with the square. */
const DEEPEST = 32;

export interface TasksView {
  /** Children below their parents. */
  readonly tree?: boolean;
  /** Each thread a line. */
  readonly threads?: boolean;
  /** Names of users by number. */
  readonly users?: ReadonlyMap<number, string>;
}

interface Line {
  readonly task: Task;
  readonly runtime: number;
  readonly command: string;
}

export function showTasks(listing: Listing<Process>, view: TasksView = {}): string {
  const rows = view.tree ? taskTree(listing.rows) : listing.rows.map((process) => ({ process, depth: 0 }));
  const lines = rows.flatMap(({ process, depth }): Line[] => {
    const indent = depth === 0 ? "" : `${"  ".repeat(Math.min(depth, DEEPEST) - 1)}\\_ `;
    const command = indent + commandOf(process);
    if (!view.threads) return [{ task: process, runtime: process.totalRuntime, command }];
    return process.threads.map((task) => ({
      task,
      runtime: task.runtime,
      command: task.tid === process.pid ? command : `${indent}{${task.comm}}`,
    }));
  });
  const columns: Column<Line>[] = [
    { title: "PID", value: ({ task }) => task.pid, right: true },
    ...(view.threads ? [{ title: "TID", value: ({ task }: Line) => task.tid, right: true }] : []),
    { title: "PPID", value: ({ task }) => task.ppid, right: true },
    { title: "USER", value: ({ task }) => view.users?.get(task.uid) ?? task.uid },
    { title: "S", value: ({ task }) => task.state },
    { title: "CPU", value: ({ task }) => task.cpu, right: true },
    { title: "TIME", value: ({ runtime }) => formatDuration(runtime), right: true },
    { title: "COMMAND", value: ({ command }) => command },
  ];
  return showTable(lines, columns) + showGaps(listing.gaps);
}

/** As `ps` has it: what has no arguments is a kernel thread, or ends. */
export const commandOf = (process: Process): string =>
  process.command.length > 0 ? process.command.join(" ") : `[${process.comm}]`;

/** Minutes and seconds to the hundredth: 1:02.34. */
export function formatDuration(nanoseconds: number): string {
  const hundredths = Math.floor(nanoseconds / 1e7);
  const minutes = Math.floor(hundredths / 6000);
  return `${minutes}:${((hundredths % 6000) / 100).toFixed(2).padStart(5, "0")}`;
}
