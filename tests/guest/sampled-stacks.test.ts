/**
 * Stacks of a guest that runs, sampled at instructions nobody chose: in a program and its libraries, in the kernel on behalf of it, in interrupts, and
 * in the few instructions between. Each has to reach the beginning of its thread.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Profile, ProfileInfo } from "../../src/perf/profile.ts";
import { GuestView } from "../../src/vmm/observer/guest-view.ts";
import { Recorder } from "../../src/vmm/observer/recorder.ts";
import { Ticker } from "../../src/vmm/sampling/ticker.ts";
import { bootTestGuest, type TestGuest } from "./boot.ts";
import { kernelMissing, TEST_KERNEL_NAMES } from "./kernels.ts";

/** System calls, page faults, signals, a pipe to another thread, the vDSO, a callback through the C library. */
const PROGRAM = `
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static volatile unsigned sink;
static int ends[2];
__attribute__((noinline)) static int compare(const void *a, const void *b) { sink++; return *(const int *)a - *(const int *)b; }
__attribute__((noinline)) static void sorts(void) { int v[64]; for (int i = 0; i < 64; i++) v[i] = (i * 37) % 64; qsort(v, 64, sizeof v[0], compare); }
__attribute__((noinline)) static void calls(void) { for (int i = 0; i < 200; i++) syscall(SYS_getppid); }
__attribute__((noinline)) static void faults(void) {
  char *p = mmap(0, 64 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (int i = 0; i < 64; i++) p[i * 4096] = 1;
  munmap(p, 64 * 4096);
}
static void handler(int n) { for (int i = 0; i < 500; i++) sink += n; }
__attribute__((noinline)) static void signals(void) { for (int i = 0; i < 20; i++) raise(SIGUSR1); }
__attribute__((noinline)) static void clocks(void) { struct timespec t; for (int i = 0; i < 500; i++) { clock_gettime(CLOCK_MONOTONIC, &t); sink += t.tv_nsec; } }
__attribute__((noinline)) static void pipes(void) { char b[64] = {1}; for (int i = 0; i < 20; i++) if (write(ends[1], b, sizeof b) < 0) abort(); }
static void *drain(void *unused) { char b[64]; while (read(ends[0], b, sizeof b) > 0) sink++; return unused; }
int main(void) {
  pthread_t thread;
  signal(SIGUSR1, handler);
  if (pipe(ends) || pthread_create(&thread, 0, drain, 0)) return 1;
  for (;;) { for (int i = 0; i < 8; i++) sorts(); calls(); faults(); signals(); clocks(); pipes(); }
}
`;

function programs(): Record<string, Uint8Array> {
  const directory = mkdtempSync(join(tmpdir(), "vivarium-sampled-"));
  try {
    const source = join(directory, "busy.c");
    writeFileSync(source, PROGRAM);
    const made = (name: string, ...flags: string[]) => {
      execFileSync("gcc", ["-O2", "-pthread", ...flags, "-o", join(directory, name), source]);
      return readFileSync(join(directory, name));
    };
    const library = (name: string) => readFileSync(realpathSync(`/lib/x86_64-linux-gnu/${name}`));
    return {
      "bin/busy-dynamic": made("busy-dynamic", "-Wl,-z,lazy"),
      "bin/busy-static": made("busy-static", "-static"),
      "lib64/ld-linux-x86-64.so.2": library("ld-linux-x86-64.so.2"),
      "lib/x86_64-linux-gnu/libc.so.6": library("libc.so.6"),
    };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** A function that a thread begins with, in the kernel or the user's code. */
const BEGINNINGS = /^(_start|_?_?clone3?|ret_from_fork(_asm)?|secondary_startup_64(_no_verify)?)$/;
const LIBRARY = "/lib/x86_64-linux-gnu/libc.so.6";
const SAMPLES = 8000;
/** Instructions between two samples; a prime, so that no loop keeps step. */
const PERIOD = 5_003;
const WAYS = [
  [/^main$/, /^compare$/],
  [/^faults$/, /^asm_exc_page_fault$/, /^handle_mm_fault$/],
  [/^signals$/, /^handler$/],
  [/^clocks$/, /clock_gettime/],
  [/^drain$/, /^vfs_read$/],
] as const;
const GUEST = { name: "busy", hostPid: 1, vcpuThreads: [1], opaque: false };
const INFO: ProfileInfo = {
  event: "instructions",
  unit: "instructions",
  period: PERIOD,
  startedAt: 0,
  duration: 0,
  hostname: "",
  hostKernel: "",
  cpu: "",
  cpus: 1,
  command: [],
  version: "",
  lost: 0,
};

/** Samples that may end elsewhere: between two tasks, and where the user's RSP is in a per-CPU variable alone. */
const FEW = 0.015;

/** Functions of all samples of one task, outermost first. */
function stacksOf({ samples, stacks, frames, symbols, dsos, tasks }: Profile, comm: string): string[][] {
  const found: string[][] = [];
  for (let i = 0; i < samples.stack.length; i++) {
    if (tasks[samples.task[i]!]?.comm !== comm) continue;
    const names: string[] = [];
    for (let stack = samples.stack[i]!; stack >= 0; stack = stacks.caller[stack]!) {
      const frame = stacks.frame[stack]!;
      names.push(symbols[frames.symbol[frame]!]?.name ?? dsos[frames.dso[frame]!]?.name ?? "?");
    }
    found.push(names.reverse());
  }
  return found;
}

/** The C library's functions that call another thread's first have no names of their own. */
const isComplete = (names: readonly string[]): boolean =>
  BEGINNINGS.test(names[0] ?? "") || (names[2] === "drain" && names[0] === LIBRARY);

describe.each(TEST_KERNEL_NAMES)("sampled stacks in Debian's %s", async (kernel) => {
  const missing = await kernelMissing(kernel);
  let guest: TestGuest;
  beforeAll(async () => {
    if (missing === undefined) guest = await bootTestGuest(kernel, { files: programs() });
  });
  afterAll(() => guest?.[Symbol.asyncDispose]());

  it.skipIf(missing !== undefined).each(["busy-dynamic", "busy-static"])("reach the beginnings of %s", async (name) => {
    await guest.sh(`/bin/${name} & sleep 0.2`);
    const view = new GuestView(guest.observed);
    const ticker = new Ticker(guest.observed);
    const recorder = new Recorder({
      view,
      area: ticker.area,
      guest: GUEST,
      tick: undefined,
    });
    ticker.start({ period: PERIOD });
    const begun = performance.now();
    while (recorder.sampleCount < SAMPLES && performance.now() - begun < 40_000) {
      recorder.take(performance.now() * 1e6);
      await delay(1);
    }
    ticker.stop();
    await guest.sh(`killall ${name}`);
    const found = stacksOf(recorder.finish(INFO), name);
    expect(found.length).toBeGreaterThan(SAMPLES / 2);
    const others = found.filter((names) => !isComplete(names));
    expect(others.length / found.length, JSON.stringify(others.slice(0, 20))).toBeLessThan(FEW);
    // Each of the program's ways was seen: its own code, below a library, in the kernel, in a handler of a signal, in the vDSO.
    for (const way of WAYS) {
      const seen = found.filter((names) => way.every((part) => names.some((one) => part.test(one))));
      expect(seen.length, String(way)).toBeGreaterThan(SAMPLES / 500);
    }
  });
});
