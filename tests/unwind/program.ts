/** A program that is stopped again and again, and what gdb says of its stack at each stop. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

/** Recursion, a callback through the C library, a signal handler, a function whose frame follows an aligned pointer, and one with alloca. */
const SOURCE = `
#include <alloca.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
volatile int sink;
__attribute__((noinline)) void leaf(int n) { sink += n; }
__attribute__((noinline)) int recurse(int n) { leaf(n); return n == 0 ? 0 : recurse(n - 1) + sink; }
__attribute__((noinline)) int compare(const void *a, const void *b) { leaf(1); return *(const int *)a - *(const int *)b; }
__attribute__((noinline)) void sorted(void) { int v[] = {3, 1, 2}; qsort(v, 3, sizeof v[0], compare); leaf(v[0]); }
__attribute__((noinline)) void handler(int n) { leaf(n); }
__attribute__((noinline)) void signalled(void) { signal(SIGUSR1, handler); raise(SIGUSR1); leaf(2); }
__attribute__((noinline)) void aligned(void) { char b[64] __attribute__((aligned(64))); memset(b, sink, sizeof b); leaf(b[3]); }
__attribute__((noinline)) void variable(int n) { char *b = alloca(n); memset(b, sink, n); leaf(b[n / 2]); }
int main(int argc, char **argv) {
  for (int i = 0; i < 3; i++) { recurse(3); sorted(); signalled(); aligned(); variable(100 + argc); }
  puts("done");
  return 0;
}
`;

/** Stops at leaf, and then steps through so many instructions each time. */
const STEPS = 40;
const STOPS = 60;
const STACK = 16384;
/** What is just popped is still said to be where it was. */
export const RED_ZONE = 128;

const GDB = `
import gdb, json
gdb.execute("set pagination off")
gdb.execute("set confirm off")
gdb.execute("set disable-randomization on")
gdb.execute("break leaf")
gdb.execute("handle SIGUSR1 nostop noprint pass")
gdb.execute("run > /dev/null")
names = "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15 rip".split()
pid = gdb.selected_inferior().pid
first = True
def show():
    inferior = gdb.selected_inferior()
    registers = [str(int(gdb.parse_and_eval("(unsigned long)$" + name))) for name in names]
    sp = int(gdb.parse_and_eval("(unsigned long)$rsp"))
    stack = b""
    for length in (${STACK}, 8192, 4096, 2048, 1024, 512):
        try:
            stack = bytes(inferior.read_memory(sp - ${RED_ZONE}, length))
            break
        except gdb.MemoryError:
            pass
    pcs = []
    frame = gdb.newest_frame()
    while frame is not None and len(pcs) < 100:
        # What is inlined, or has gone on to another function, has no frame of its own.
        if frame.type() not in (gdb.INLINE_FRAME, gdb.TAILCALL_FRAME):
            pcs.append(str(frame.pc()))
        try:
            frame = frame.older()
        except gdb.error:
            break
    print("STOP " + json.dumps({"registers": registers, "stack": stack.hex(), "pcs": pcs}))
print("MAPS " + json.dumps(open("/proc/%d/maps" % pid).read()))
for stop in range(${STOPS}):
    for step in range(${STEPS}):
        show()
        try:
            gdb.execute("stepi", to_string=True)
        except gdb.error:
            break
        if not gdb.selected_inferior().pid:
            break
    if not gdb.selected_inferior().pid:
        break
    gdb.execute("continue", to_string=True)
    if not gdb.selected_inferior().pid:
        break
`;

export interface Stop {
  /** In the order of instructions, and RIP. */
  readonly registers: readonly string[];
  /** From RED_ZONE below RSP on, in hexadecimal. */
  readonly stack: string;
  /** What gdb says, innermost first. */
  readonly pcs: readonly string[];
}

export interface Stopped {
  /** Text of /proc/PID/maps. */
  readonly maps: string;
  readonly stops: readonly Stop[];
}

/** Compiles the program with some flags and has gdb run it. Throws where gcc or gdb fail. */
export function stopped(directory: string, name: string, flags: readonly string[]): Stopped {
  const source = join(directory, `${name}.c`);
  const program = join(directory, name);
  const script = join(directory, `${name}.py`);
  writeFileSync(source, SOURCE);
  writeFileSync(script, GDB);
  execFileSync("gcc", ["-O2", ...flags, "-o", program, source]);
  const text = execFileSync("gdb", ["-q", "-nx", "-batch", "-x", script, program], {
    encoding: "utf8",
    maxBuffer: 1 << 30,
    stdio: ["ignore", "pipe", "ignore"],
    timeout: 120_000,
  });
  const lines = text.split("\n");
  const after = (word: string) => lines.filter((line) => line.startsWith(word)).map((line) => line.slice(word.length));
  return {
    maps: JSON.parse(after("MAPS ")[0]!) as string,
    stops: after("STOP ").map((line) => JSON.parse(line) as Stop),
  };
}
