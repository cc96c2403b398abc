/** Processes and threads (include/linux/sched.h): what /proc/PID/stat, status and cmdline would say. */
import { type Gva, gva, type Ns, ns } from "../base/index.ts";
import { Budget, Inconsistent, isGuestFault, type Listing, readEach, readListing, TooMany, walkList } from "./lists.ts";
import type { Look } from "./look.ts";
import { Unreadable } from "./memory.ts";

/**
 * Processes and threads of a guest: a task takes some 26 KiB of a RAM of 4 GiB at most. Lists of lists may claim any
 * number.
 */
const MOST_TASKS = 2 ** 17;
/** PID_MAX_LIMIT: a larger number is no process. */
const PID_MAX = 2 ** 22;
/** TASK_COMM_LEN */
const COMM_LENGTH = 16;
/** Of a command line: a hostile process may claim all its memory is one. */
const LONGEST_COMMAND = 4096;

/** Letters of /proc/PID/stat by the highest bit of the state that is reported, 0 none of them (fs/proc/array.c). */
const STATES = "RSDTtXZPI";
const REPORTED = 0x7f;
/** TASK_UNINTERRUPTIBLE | TASK_NOLOAD: shown as idle, though not reported. */
const TASK_IDLE = 0x402;
const IDLE = "I";
/** TASK_RTLOCK_WAIT, TASK_FROZEN: shown as uninterruptible. */
const WAITS = 0x1000 | 0x8000;
const UNINTERRUPTIBLE = "D";
const PF_KTHREAD = 0x20_0000;

export interface Task {
  /** Of its task_struct. */
  readonly at: Gva;
  /** A thread's own number. */
  readonly tid: number;
  /** Its process's. */
  readonly pid: number;
  readonly ppid: number;
  readonly comm: string;
  /** As in /proc/PID/stat. */
  readonly state: string;
  /** vCPU it runs on, or ran on last. */
  readonly cpu: number;
  readonly uid: number;
  readonly kernelThread: boolean;
  /** Of its mm_struct; 0: a kernel thread, or one that ends. */
  readonly mm: Gva;
  /** CPU time of the thread itself. */
  readonly runtime: Ns;
  /** Since the guest's boot. */
  readonly started: Ns;
}

export interface Process extends Task {
  /** All of them, the first included. */
  readonly threads: readonly Task[];
  /** CPU time of all threads, those that ended included. */
  readonly totalRuntime: Ns;
  /** Arguments, where the process keeps them in memory; empty for kernel threads. */
  readonly command: readonly string[];
}

const offsets = (look: Look) =>
  look.offsets(
    "tasks",
    "task_struct",
    "pid",
    "tgid",
    "comm",
    "flags",
    "state",
    "exit_state",
    "tasks",
    "thread_node",
    "real_parent",
    "signal",
    "cred",
    "mm",
    "se.sum_exec_runtime",
    "start_boottime",
  );

/** All processes, in the order they were started. Throws VivError for want of types or symbols. */
export function listProcesses(look: Look): Listing<Process> {
  return readListing((rows, gaps) => {
    const budget = new Budget(MOST_TASKS);
    const read = (at: Gva): Process | undefined => {
      try {
        const process = readProcess(look, at, budget);
        // What left the list meanwhile may have been freed under our eyes.
        return isLinked(look, at) ? process : undefined;
      } catch (error) {
        if (!isGuestFault(error) || error instanceof TooMany || isLinked(look, at)) throw error;
        return undefined;
      }
    };
    readEach(walkProcesses(look, budget), read, rows, gaps, "processes");
  });
}

/** A process by its number, or by a thread's. Throws VivError for want of types or symbols. */
export function findProcess(look: Look, pid: number): Process | undefined {
  const processes = listProcesses(look).rows;
  return (
    processes.find((process) => process.pid === pid) ??
    processes.find((process) => process.threads.some((thread) => thread.tid === pid))
  );
}

/**
 * The guest's first process: its root, mounts and names are what the guest as a whole has. Throws VivError for want of
 * types or symbols.
 */
export const findInit = (look: Look): Process | undefined => findProcess(look, 1);

/** Addresses of the task_structs of all processes. Throws Unreadable, Inconsistent, TooMany, or VivError. */
function* walkProcesses(look: Look, budget: Budget): Generator<Gva, void> {
  const { tasks } = offsets(look);
  const head = gva(look.variable("tasks", "init_task") + tasks);
  for (const link of walkList(look.space, head, budget)) yield gva(link - tasks);
}

/** Whether a process is still in the list. */
function isLinked(look: Look, at: Gva): boolean {
  const link = gva(at + offsets(look).tasks);
  try {
    return look.space.pointer(look.space.pointer(link, 8)) === link;
  } catch (error) {
    if (error instanceof Unreadable) return false;
    throw error;
  }
}

function readProcess(look: Look, at: Gva, budget: Budget): Process {
  const { space } = look;
  const T = offsets(look);
  const S = look.offsets("tasks", "signal_struct", "thread_head", "sum_sched_runtime");
  const signal = space.pointer(at, T.signal);
  const leader = readTask(look, at);
  const threads: Task[] = [];
  for (const link of walkList(space, gva(signal + S.thread_head), budget)) {
    const thread = readTask(look, gva(link - T.thread_node));
    if (thread.pid !== leader.pid) throw new Inconsistent("a thread belongs to another process");
    threads.push(thread);
  }
  let total = space.u64(signal, S.sum_sched_runtime);
  for (const thread of threads) total += thread.runtime;
  return { ...leader, threads, totalRuntime: ns(total), command: readCommand(look, leader.mm) };
}

/** Throws Unreadable, Inconsistent, or VivError for want of types. */
export function readTask(look: Look, at: Gva): Task {
  const { space } = look;
  const T = offsets(look);
  const { euid } = look.offsets("tasks", "cred", "euid");
  const cpu = look.optional("task_struct", "cpu");
  const tid = space.s32(at, T.pid);
  const pid = space.s32(at, T.tgid);
  if (!(tid >= 0 && tid < PID_MAX && pid >= 0 && pid < PID_MAX)) throw new Inconsistent("a task has no fit number");
  return {
    at,
    tid,
    pid,
    ppid: space.s32(space.pointer(at, T.real_parent), T.tgid),
    comm: look.text(at, COMM_LENGTH, T.comm),
    state: stateLetter(space.u32(at, T.state), space.u32(at, T.exit_state)),
    // A kernel for one processor keeps none.
    cpu: cpu === undefined ? 0 : space.u32(at, cpu),
    uid: space.u32(space.pointer(at, T.cred), euid),
    kernelThread: (space.u32(at, T.flags) & PF_KTHREAD) !== 0,
    mm: space.pointer(at, T.mm),
    runtime: ns(space.u64(at, T["se.sum_exec_runtime"])),
    started: ns(space.u64(at, T.start_boottime)),
  };
}

/** As `task_state_index` in include/linux/sched.h. */
export function stateLetter(state: number, exitState: number): string {
  if ((state & TASK_IDLE) === TASK_IDLE) return IDLE;
  const reported = (state | exitState) & REPORTED;
  if ((state & WAITS) !== 0) return UNINTERRUPTIBLE;
  return STATES[32 - Math.clz32(reported)]!;
}

/** Arguments of a program, or none where they are not in memory. */
function readCommand(look: Look, mm: Gva): string[] {
  if (mm === 0) return [];
  const M = look.offsets("command lines", "mm_struct", "arg_start", "arg_end");
  try {
    const start = look.space.pointer(mm, M.arg_start);
    const length = look.space.pointer(mm, M.arg_end) - start;
    if (!(length > 0)) return [];
    const text = look.bytesAsText(start, Math.min(length, LONGEST_COMMAND), 0, look.userSpace(mm));
    return text.replace(/\0+$/, "").split("\0");
  } catch (error) {
    // Swapped out, or not there yet.
    if (error instanceof Unreadable) return [];
    throw error;
  }
}
