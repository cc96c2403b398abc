/*
 * Runs the items and prints a line before and after each: "begin SET GROUP/NAME" and "end SET GROUP/NAME ELAPSED CPU CHECKSUM" with times
 * in nanoseconds by our own clocks, at last "done". Arguments: parts per hundred of the full work, rounds of kernels and of system
 * items, rounds of programs, seconds for which all that is repeated (0: once), and which sets or items. As process 1 it switches the
 * machine off at the end. With the argument "exit" it ends at once: the item that measures execve runs it so.
 */
#include "linux.h"

enum { TCSBRK = 0x5409, CLOCK_MONOTONIC = 1, CLOCK_PROCESS_CPUTIME_ID = 2, RUSAGE_CHILDREN = -1, REST_NS = 30000000 };

static char line[512];
static u32 used;

void text(const char *s) {
  while (*s && used < sizeof line - 1) line[used++] = *s++;
}
void number(u64 n, u32 base) {
  char digits[24];
  int count = 0;
  do {
    digits[count++] = "0123456789abcdef"[n % base];
    n /= base;
  } while (n);
  while (count && used < sizeof line - 1) line[used++] = digits[--count];
}
void flush(void) {
  line[used++] = '\n';
  call(SYS_write, 1, (i64)line, (i64)used, 0);
  used = 0;
  /* On a terminal, waits until the line is out: nothing of the printing falls into what is measured. */
  call(SYS_ioctl, 1, TCSBRK, 1, 0);
}

static void stop(i64 status) {
  /* LINUX_REBOOT_CMD_POWER_OFF (include/uapi/linux/reboot.h). */
  if (call(SYS_getpid, 0, 0, 0, 0) == 1) call(SYS_reboot, 0xfee1dead, 672274793, 0x4321fedc, 0);
  call(SYS_exit, status, 0, 0, 0);
}
void fail(const char *what, i64 result) {
  text("fail ");
  text(what);
  text(" ");
  number((u64)(result < 0 ? -result : result), 10);
  flush();
  stop(1);
}

static u64 clock(i64 which) {
  i64 time[2];
  call(SYS_clock_gettime, which, (i64)time, 0, 0);
  return (u64)time[0] * 1000000000 + (u64)time[1];
}
/* CPU time of this process and of its children that have ended. */
static u64 cpu_time(void) {
  i64 usage[18];
  call(SYS_getrusage, RUSAGE_CHILDREN, (i64)usage, 0, 0);
  return clock(CLOCK_PROCESS_CPUTIME_ID) + (u64)(usage[0] + usage[2]) * 1000000000 + (u64)(usage[1] + usage[3]) * 1000;
}
static void rest(void) {
  i64 time[2] = {0, REST_NS};
  call(SYS_nanosleep, (i64)time, 0, 0, 0);
}

static u64 started, cpu_started;

static void say(const char *what, const char *set, const char *group, const char *name) {
  text(what);
  text(set);
  text(" ");
  /* No spaces inside a word. */
  while (*group) {
    char c[2] = {*group == ' ' ? '-' : *group, 0};
    text(c);
    group++;
  }
  text("/");
  text(name);
}
void begin(const char *set, const char *group, const char *name) {
  say("begin ", set, group, name);
  flush();
  rest();
  cpu_started = cpu_time();
  started = clock(CLOCK_MONOTONIC);
}
void end(const char *set, const char *group, const char *name, u64 checksum) {
  u64 elapsed = clock(CLOCK_MONOTONIC) - started, cpu = cpu_time() - cpu_started;
  say("end ", set, group, name);
  text(" ");
  number(elapsed, 10);
  text(" ");
  number(cpu, 10);
  text(" ");
  number(checksum, 16);
  flush();
  rest();
}

static u64 parse(const char *s) {
  u64 n = 0;
  while (*s >= '0' && *s <= '9') n = n * 10 + (u64)(*s++ - '0');
  return n;
}
static int same(const char *a, const char *b) {
  while (*a && *a == *b) a++, b++;
  return *a == *b;
}

enum { PERCENT = 1, ROUNDS, PROGRAM_ROUNDS, SECONDS, FIRST_NAME };
static char **arguments;
static i64 count;

int wanted(const char *set, const char *name) {
  for (i64 i = FIRST_NAME; i < count; i++) {
    if (same(arguments[i], set) || same(arguments[i], name)) return 1;
  }
  return 0;
}

static void run(const char *set, const char *group, const Item *items, u64 percent, u64 rounds) {
  for (const Item *item = items; item->name; item++) {
    if (!wanted(set, item->name)) continue;
    u32 units = (u32)(item->units * percent / 100);
    if (units == 0) units = 1;
    /* Once untimed, so that everywhere the memory has been touched. */
    item->run(1);
    for (u64 i = 0; i < rounds; i++) {
      begin(set, group, item->name);
      end(set, group, item->name, item->run(units));
    }
  }
}

__attribute__((used)) static void start(i64 *stack) {
  count = stack[0];
  arguments = (char **)(stack + 1);
  if (count == 2 && same(arguments[1], "exit")) call(SYS_exit, 0, 0, 0, 0);
  if (count <= FIRST_NAME) stop(2);
  u64 percent = parse(arguments[PERCENT]), rounds = parse(arguments[ROUNDS]);
  u64 until = clock(CLOCK_MONOTONIC) + parse(arguments[SECONDS]) * 1000000000;
  load_programs();
  do {
    for (const Group *group = kernels; group->name; group++) run("kernels", group->name, group->items, percent, rounds);
    run("system", "system", system_items, percent, rounds);
    run_programs((u32)parse(arguments[PROGRAM_ROUNDS]));
  } while (clock(CLOCK_MONOTONIC) < until);
  text("done");
  flush();
  stop(0);
}

/* The stack at the start holds the arguments (System V ABI, AMD64 supplement, 3.4.1). */
__asm__(".globl _start\n_start: mov %rsp, %rdi\n and $-16, %rsp\n call start\n hlt\n");
