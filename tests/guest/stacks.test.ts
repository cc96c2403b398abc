/** Stacks of tasks that wait, as they are found from outside, against what the guest's kernel says of them in /proc/PID/stack. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { gva } from "../../src/base/index.ts";
import { findKernel } from "../../src/guest/find-kernel.ts";
import type { LinuxKernel } from "../../src/guest/linux-kernel.ts";
import { tryRead } from "../../src/guest/lists.ts";
import { Look } from "../../src/guest/look.ts";
import { listProcesses, type Task } from "../../src/guest/tasks.ts";
import { CodeFiles } from "../../src/vmm/observer/code-files.ts";
import { KernelCode, ProcessCode, waitingChain } from "../../src/vmm/observer/stacks.ts";
import { bootTestGuest, type TestGuest } from "./boot.ts";
import { kernelMissing, TEST_KERNEL_NAMES } from "./kernels.ts";

/** Waits three calls deep, each with a frame of its own. */
const PROGRAM = `
#include <unistd.h>
__attribute__((noinline)) int third(int n) { pause(); return n + 1; }
__attribute__((noinline)) int second(int n) { volatile int a[100]; a[n] = n; return third(a[n]) + 1; }
__attribute__((noinline)) int first(int n) { return second(n) + 1; }
int main(int argc, char **argv) { return first(argc) + 1; }
`;

/** The program with and without symbols, and what it is linked with, from this host. */
function programs(): Record<string, Uint8Array> {
  const directory = mkdtempSync(join(tmpdir(), "vivarium-stacks-"));
  try {
    const source = join(directory, "waits.c");
    writeFileSync(source, PROGRAM);
    const made = (name: string, ...flags: string[]) => {
      const path = join(directory, name);
      execFileSync("gcc", ["-O2", ...flags, "-o", path, source]);
      return readFileSync(path);
    };
    const library = (name: string) => readFileSync(realpathSync(`/lib/x86_64-linux-gnu/${name}`));
    return {
      "bin/waits-dynamic": made("waits-dynamic"),
      "bin/waits-stripped": made("waits-stripped", "-s"),
      "lib64/ld-linux-x86-64.so.2": library("ld-linux-x86-64.so.2"),
      "lib/x86_64-linux-gnu/libc.so.6": library("libc.so.6"),
    };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Where a thread begins, in the kernel or on its way from there. */
const BEGINNINGS = /^(ret_from_fork(_asm)?|entry_SYSCALL_64_after_hwframe|asm_\w+|_start)$/;

describe.each(TEST_KERNEL_NAMES)("stacks in Debian's %s", async (kernel) => {
  const missing = await kernelMissing(kernel);
  let guest: TestGuest;
  let found: LinuxKernel;
  beforeAll(async () => {
    if (missing !== undefined) return;
    guest = await bootTestGuest(kernel, { files: programs() });
    const answer = findKernel(guest.memory, guest.registers());
    if (!answer.found) throw new Error(answer.message);
    found = answer.kernel;
  });
  afterAll(() => guest?.[Symbol.asyncDispose]());

  /** Places in the kernel functions a task waits in, innermost first, and the user's instruction pointers. */
  function stackOf(look: Look, code: KernelCode, task: Task) {
    const chain = waitingChain(look, code, ProcessCode.of(look, new CodeFiles(), task.at, task.mm), task);
    const names = chain.places.slice(0, chain.kernel).map((place, i) => {
      const symbol = found.symbols.find(gva(place));
      return symbol ? `${symbol.name}+0x${(chain.ips[i]! - symbol.start).toString(16)}` : "?";
    });
    return { names, user: chain.ips.slice(chain.kernel), truncated: chain.truncated };
  }

  /** What the kernel shows, by process. */
  async function stacks(): Promise<Map<number, readonly string[]>> {
    const all = 'for p in /proc/[0-9]*; do echo "== $(basename $p)"; cat $p/stack 2>/dev/null; done; true';
    const texts = (await guest.sh(all)).split("== ").slice(1);
    return new Map(
      texts.map((text) => {
        const [pid = "", ...lines] = text.trim().split("\n");
        return [Number(pid), lines.map((line) => /\] ([^/]+)\//.exec(line)?.[1] ?? line)];
      }),
    );
  }

  /** Compares once; what differs, by process: some of them go on while all is read. */
  async function compare(compared: Set<number>): Promise<Map<number, string>> {
    const said = await stacks();
    const look = new Look(found);
    const code = new KernelCode(found);
    // Processes end while they are looked at.
    const seen = listProcesses(look).rows.flatMap((process) => {
      const ours = tryRead(() => stackOf(look, code, process));
      return ours ? [{ process, ours }] : [];
    });
    const later = await stacks();
    const different = new Map<number, string>();
    for (const { process, ours } of seen) {
      const { pid, comm, kernelThread } = process;
      const theirs = said.get(pid) ?? [];
      // The agent waits for the command that lists stacks, but not when we look.
      if (comm === "agent" || theirs.length === 0 || !"SI".includes(process.state)) continue;
      if (theirs.join(" ") !== later.get(pid)?.join(" ")) continue;
      // It leaves out the scheduler's own functions.
      const same =
        ours.names.join(" ").endsWith(theirs.join(" ")) &&
        BEGINNINGS.test(ours.names.at(-1)?.split("+")[0] ?? "") &&
        ours.user.length > 0 === !kernelThread &&
        // Busybox is compiled without a word on its frames: its own functions end a chain, the kernel's do not.
        (!kernelThread || ours.truncated === undefined);
      if (same) compared.add(pid);
      else different.set(pid, `${comm}: ${theirs.join(" ")}, not ${ours.names.join(" ")} (${ours.truncated})`);
    }
    return different;
  }

  it.skipIf(missing !== undefined)("are those that the kernel shows", async () => {
    await guest.sh("sleep 1000 & sleep 1001 & (read line </dev/ttyS0) & sleep 0.2");
    const compared = new Set<number>();
    let left = await compare(compared);
    // Some wake often, and wait elsewhere when we look than before and behind.
    for (let i = 0; i < 20 && left.size > 0; i++) {
      const again = await compare(compared);
      left = new Map([...again].filter(([pid]) => left.has(pid) && !compared.has(pid)));
    }
    expect([...left.values()]).toEqual([]);
    expect(compared.size).toBeGreaterThan(20);
  });

  it.skipIf(missing !== undefined)("reach through programs and libraries to their beginnings", async () => {
    await guest.sh("/bin/waits-dynamic & /bin/waits-stripped & sleep 0.3");
    const look = new Look(found);
    const code = new KernelCode(found);
    const files = new CodeFiles();
    const waiting = listProcesses(look).rows.filter(({ comm }) => comm.startsWith("waits-"));
    expect(waiting.map(({ comm }) => comm).sort()).toEqual(["waits-dynamic", "waits-stripped"]);
    for (const process of waiting) {
      const mapped = ProcessCode.of(look, files, process.at, process.mm);
      const chain = waitingChain(look, code, mapped, process);
      expect(chain.truncated, process.comm).toBeUndefined();
      const names = chain.places.slice(chain.kernel).map((place) => {
        const { file, bias } = mapped.at(place)!;
        return file.symbols?.find(place - bias)?.name ?? file.name.split("/").at(-1)!;
      });
      const own = process.comm === "waits-dynamic";
      const third = own ? "third" : process.comm;
      // pause() first; behind main the C library's two functions, which have no names of their own, and _start.
      expect(names.join(" ")).toMatch(
        own ? /^pause third second first main .*_start$/ : new RegExp(`pause.*( ${third}){4}.* ${third}$`),
      );
    }
  });
});
