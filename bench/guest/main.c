/*
 * Runs the kernels and prints a line before and after each: "begin NAME", "end NAME NANOSECONDS CHECKSUM", at last
 * "done". Arguments: parts per hundred of the full work, rounds, and optionally the kernels wanted. As process 1 it
 * switches the machine off at the end.
 * With the argument "boot" it only prints "up"; "linger" keeps the machine running for a while after that.
 */
#include "bench.h"

enum { SYS_write = 1, SYS_ioctl = 16, SYS_nanosleep = 35, SYS_getpid = 39, SYS_exit = 60, SYS_reboot = 169,
       SYS_clock_gettime = 228 };
enum { TCSBRK = 0x5409, CLOCK_MONOTONIC = 1, LINGER_SECONDS = 6, REST_NS = 30000000 };

static i64 call(i64 number, i64 a, i64 b, i64 c, i64 d) {
  i64 result;
  register i64 r10 __asm__("r10") = d;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
  return result;
}

/* gcc may ask for these whatever it is told. */
void *memcpy(void *to, const void *from, u64 n) {
  void *result = to;
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
  return result;
}
void *memset(void *to, int value, u64 n) {
  void *result = to;
  __asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(value) : "memory");
  return result;
}

static char line[256];
static u64 used;

static void text(const char *s) {
  while (*s) line[used++] = *s++;
}
static void number(u64 n, u64 base) {
  char digits[20];
  int count = 0;
  do {
    digits[count++] = "0123456789abcdef"[n % base];
    n /= base;
  } while (n);
  while (count) line[used++] = digits[--count];
}
static void flush(void) {
  line[used++] = '\n';
  call(SYS_write, 1, (i64)line, (i64)used, 0);
  used = 0;
  /* On a terminal, waits until the line is out: nothing of the printing falls into what is measured. */
  call(SYS_ioctl, 1, TCSBRK, 1, 0);
}

static u64 now(void) {
  i64 time[2];
  call(SYS_clock_gettime, CLOCK_MONOTONIC, (i64)time, 0, 0);
  return (u64)time[0] * 1000000000 + (u64)time[1];
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

static void sleep(i64 seconds, i64 ns) {
  i64 time[2] = {seconds, ns};
  call(SYS_nanosleep, (i64)time, 0, 0, 0);
}

static void measure(const Kernel *kernel, u64 percent, u64 rounds) {
  u64 units = kernel->units * percent / 100;
  if (units == 0) units = 1;
  /* Once untimed, so that everywhere the memory has been touched. */
  kernel->run(1);
  while (rounds--) {
    text("begin ");
    text(kernel->name);
    flush();
    /* The rests give who reads the lines time to look at how much CPU time has been used. */
    sleep(0, REST_NS);
    u64 started = now();
    u64 checksum = kernel->run(units);
    u64 took = now() - started;
    text("end ");
    text(kernel->name);
    text(" ");
    number(took, 10);
    text(" ");
    number(checksum, 16);
    flush();
    sleep(0, REST_NS);
  }
}

static void measure_all(const Kernel *list, int count, char **arguments) {
  for (; list->name; list++) {
    int wanted = count <= 3;
    for (int i = 3; i < count; i++) wanted |= same(arguments[i], list->name);
    if (wanted) measure(list, parse(arguments[1]), parse(arguments[2]));
  }
}

__attribute__((used)) static void begin(i64 *stack) {
  int count = (int)stack[0];
  char **arguments = (char **)(stack + 1);
  if (count >= 2 && (same(arguments[1], "boot") || same(arguments[1], "linger"))) {
    text("up");
    flush();
    if (same(arguments[1], "linger")) sleep(LINGER_SECONDS, 0);
  } else if (count >= 3) {
    measure_all(integer_kernels, count, arguments);
    measure_all(memory_kernels, count, arguments);
    measure_all(control_kernels, count, arguments);
    measure_all(float_kernels, count, arguments);
    text("done");
    flush();
  }
  /* LINUX_REBOOT_CMD_POWER_OFF (include/uapi/linux/reboot.h). */
  if (call(SYS_getpid, 0, 0, 0, 0) == 1) call(SYS_reboot, 0xfee1dead, 672274793, 0x4321fedc, 0);
  call(SYS_exit, 0, 0, 0, 0);
}

/* The stack at the start holds the arguments (System V ABI, AMD64 supplement, 3.4.1). */
__asm__(".globl _start\n_start: mov %rsp, %rdi\n and $-16, %rsp\n call begin\n hlt\n");
