/** Stacks of a guest's tasks: what a chain of calls is found with, in code of the kernel, its modules and its processes. */
import { type Gva, gva } from "../../base/index.ts";
import type { LinuxKernel } from "../../guest/linux-kernel.ts";
import { tryRead } from "../../guest/lists.ts";
import type { Look } from "../../guest/look.ts";
import { type AddressSpace, Unreadable } from "../../guest/memory.ts";
import { rootOf } from "../../guest/mounts.ts";
import type { Task } from "../../guest/tasks.ts";
import { KernelOrc, type OrcEntry } from "../../guest/unwind/orc.ts";
import { type Chain, type StartRegisters, type UnwindContext, Unwinder } from "../../guest/unwind/unwinder.ts";
import type { StackWords } from "../../guest/unwind/words.ts";
import type { CodeFiles, MappedCode } from "./code-files.ts";

/** A kernel and its unwind tables, read when they are first needed and again where modules have changed. */
export class KernelCode {
  readonly kernel: LinuxKernel;
  readonly #orc: KernelOrc;

  constructor(kernel: LinuxKernel) {
    this.kernel = kernel;
    this.#orc = new KernelOrc(kernel);
  }

  orc(ip: number): OrcEntry | undefined {
    return this.#orc.find(ip);
  }
}

/** Code that a process runs. */
export class ProcessCode {
  readonly #mapped: readonly MappedCode[];

  constructor(mapped: readonly MappedCode[]) {
    this.#mapped = mapped;
  }

  /** Throws VivError for want of types. */
  static of(look: Look, files: CodeFiles, task: Gva, mm: Gva): ProcessCode {
    const root = tryRead(() => rootOf(look, task));
    return new ProcessCode(mm === 0 ? [] : files.mapped(look, mm, root));
  }

  at(ip: number): MappedCode | undefined {
    let low = 0;
    let high = this.#mapped.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#mapped[middle]!.start <= ip) low = middle + 1;
      else high = middle;
    }
    const found = this.#mapped[low - 1];
    return found && ip < found.end ? found : undefined;
  }
}

function contextOf(kernel: KernelCode, code: ProcessCode): UnwindContext {
  return {
    orc: (ip) => kernel.orc(ip),
    user: (ip) => {
      const found = code.at(ip);
      return found?.code;
    },
  };
}

/** Words of a task's stacks where they are, while the guest runs on. */
export class LiveWords implements StackWords {
  readonly #kernel: AddressSpace;
  readonly #user: AddressSpace | undefined;

  constructor(kernel: AddressSpace, user: AddressSpace | undefined) {
    this.#kernel = kernel;
    this.#user = user;
  }

  word(at: number): number {
    const space = at < 0 ? this.#kernel : this.#user;
    if (space === undefined || !Number.isFinite(at)) return Number.NaN;
    try {
      return space.pointer(gva(at));
    } catch (error) {
      if (error instanceof Unreadable) return Number.NaN;
      throw error;
    }
  }
}

/** Of a task that waits: the registers that it goes on with. Throws Unreadable, or VivError for want of types. */
export function waitingRegisters(look: Look, task: Gva): StartRegisters {
  const { space } = look;
  const { "thread.sp": spAt } = look.offsets("stacks", "task_struct", "thread.sp");
  const F = look.offsets("stacks", "inactive_task_frame", "r15", "r14", "r13", "r12", "bx", "bp", "ret_addr");
  const sp = space.pointer(task, spAt);
  const gpr = new Float64Array(16).fill(Number.NaN);
  gpr[3] = space.pointer(sp, F.bx);
  gpr[5] = space.pointer(sp, F.bp);
  gpr[12] = space.pointer(sp, F.r12);
  gpr[13] = space.pointer(sp, F.r13);
  gpr[14] = space.pointer(sp, F.r14);
  gpr[15] = space.pointer(sp, F.r15);
  // It has called __switch_to_asm, and goes on behind that.
  gpr[4] = sp + F.ret_addr + 8;
  return { ip: space.pointer(sp, F.ret_addr), gpr, user: false, called: true };
}

/** The chain of calls of a task that does not run now. Throws Unreadable, or VivError for want of types. */
export function waitingChain(look: Look, kernel: KernelCode, code: ProcessCode, task: Task): Chain {
  const user = task.mm === 0 ? undefined : tryRead(() => look.userSpace(task.mm));
  const words = new LiveWords(look.space, user);
  return new Unwinder(contextOf(kernel, code), words).unwind(waitingRegisters(look, task.at));
}
