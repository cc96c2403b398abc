/** A program that is stopped again and again, and what gdb says of its stack at each stop. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

/**
 * Recursion, a callback through the C library, handlers of signals on the same and another stack, the vDSO, a thread, functions whose frames follow
 * an aligned pointer, alloca, or an expression.
 */
const SOURCE = `
#include <alloca.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
volatile int sink;
__attribute__((noinline)) void leaf(int n) { sink += n; }
__attribute__((noinline)) int recurse(int n) { leaf(n); return n == 0 ? 0 : recurse(n - 1) + sink; }
__attribute__((noinline)) int compare(const void *a, const void *b) { leaf(1); return *(const int *)a - *(const int *)b; }
__attribute__((noinline)) void sorted(void) { int v[] = {3, 1, 2}; qsort(v, 3, sizeof v[0], compare); leaf(v[0]); }
__attribute__((noinline)) void handler(int n) { leaf(n); }
__attribute__((noinline)) void signalled(void) { signal(SIGUSR1, handler); raise(SIGUSR1); leaf(2); }
__attribute__((noinline)) void aligned(void) { char b[64] __attribute__((aligned(64))); memset(b, sink, sizeof b); leaf(b[3]); }
__attribute__((noinline)) void variable(int n) { char *b = alloca(n); memset(b, sink, n); leaf(b[n / 2]); }
__attribute__((noinline)) void clocked(void) { struct timespec t; leaf(3); clock_gettime(CLOCK_MONOTONIC, &t); sink += t.tv_nsec; }
__attribute__((noinline)) void elsewhere(void) {
  static char other[65536];
  stack_t stack = {.ss_sp = other, .ss_size = sizeof other};
  struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
  sigaltstack(&stack, 0);
  sigaction(SIGUSR2, &action, 0);
  raise(SIGUSR2);
}
/* The first of a thread, and one whose frame its own words describe: CFA = *(rsp + 8). */
void *thread(void *unused) { leaf(4); return unused; }
__attribute__((noinline)) void threaded(void) { pthread_t t; if (!pthread_create(&t, 0, thread, 0)) pthread_join(t, 0); }
void described(void);
asm(".text; .globl described; .type described, @function; described: .cfi_startproc;"
    "lea 8(%rsp), %rax; push %rbx; .cfi_def_cfa_offset 16; .cfi_offset rbx, -16;"
    "sub $1008, %rsp; .cfi_def_cfa_offset 1024; push %rax; .cfi_def_cfa_offset 1032; push $0;"
    ".cfi_escape 0x0f, 3, 0x77, 8, 0x06; .cfi_escape 0x10, 3, 3, 0x77, 0x80, 8;"
    "mov $5, %edi; call leaf; add $16, %rsp; .cfi_def_cfa rsp, 1024; .cfi_offset rbx, -16;"
    "add $1008, %rsp; .cfi_def_cfa_offset 16; pop %rbx; .cfi_def_cfa_offset 8; ret; .cfi_endproc; .size described, . - described");
int main(int argc, char **argv) {
  for (int i = 0; i < 3; i++) { recurse(3); sorted(); signalled(); elsewhere(); clocked(); threaded(); described(); aligned(); variable(100 + argc); }
  puts("done");
  return 0;
}
`;

/** Stops at leaf, and then steps through so many instructions each time. */
const STEPS = 40;
const STOPS = 60;
const STACK = 16384;
/** What is just popped is still said to be where it was. */
const RED_ZONE = 128;

const GDB = `
import gdb, json
gdb.execute("set pagination off")
gdb.execute("set confirm off")
gdb.execute("set disable-randomization on")
gdb.execute("break leaf")
gdb.execute("handle SIGUSR1 SIGUSR2 nostop noprint pass")
gdb.execute("set print thread-events off")
gdb.execute("run > /dev/null")
names = "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15 rip".split()
pid = gdb.selected_inferior().pid
def stack_at(sp):
    for length in (${STACK}, 8192, 4096, 2048, 1024, 512):
        try:
            return [str(sp - ${RED_ZONE}), bytes(gdb.selected_inferior().read_memory(sp - ${RED_ZONE}, length)).hex()]
        except gdb.MemoryError:
            pass
    return [str(sp), ""]
def show():
    registers = [str(int(gdb.parse_and_eval("(unsigned long)$" + name))) for name in names]
    sp = int(registers[4])
    pieces = [stack_at(sp)]
    pcs = []
    frame = gdb.newest_frame()
    while frame is not None and len(pcs) < 100:
        # What a handler interrupted may have another stack.
        here = int(frame.read_register("rsp"))
        if here < sp or here > sp + 8192:
            sp = here
            pieces.append(stack_at(sp))
        # What is inlined, or has gone on to another function, has no frame of its own.
        if frame.type() not in (gdb.INLINE_FRAME, gdb.TAILCALL_FRAME):
            pcs.append(str(frame.pc()))
        try:
            frame = frame.older()
        except gdb.error:
            break
    print("STOP " + json.dumps({"registers": registers, "pieces": pieces, "pcs": pcs}))
maps = open("/proc/%d/maps" % pid).read()
print("MAPS " + json.dumps(maps))
for line in maps.splitlines():
    if line.endswith("[vdso]"):
        first, end = [int(part, 16) for part in line.split()[0].split("-")]
        print("VDSO " + bytes(gdb.selected_inferior().read_memory(first, end - first)).hex())
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
  /** Of its stacks: address, and bytes in hexadecimal. The first begins RED_ZONE below RSP. */
  readonly pieces: readonly (readonly [string, string])[];
  /** What gdb says, innermost first. */
  readonly pcs: readonly string[];
}

export interface Stopped {
  /** Text of /proc/PID/maps. */
  readonly maps: string;
  /** In hexadecimal. */
  readonly vdso: string;
  readonly stops: readonly Stop[];
}

/** Compiles the program with some flags and has gdb run it. Throws where gcc or gdb fail. */
export function stopped(directory: string, name: string, flags: readonly string[]): Stopped {
  const source = join(directory, `${name}.c`);
  const program = join(directory, name);
  const script = join(directory, `${name}.py`);
  writeFileSync(source, SOURCE);
  writeFileSync(script, GDB);
  execFileSync("gcc", ["-O2", "-pthread", ...flags, "-o", program, source]);
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
    vdso: after("VDSO ")[0] ?? "",
    stops: after("STOP ").map((line) => JSON.parse(line) as Stop),
  };
}
