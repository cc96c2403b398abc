/* Linux's system calls, as far as the benchmark needs them (x86-64; man-pages section 2). */
#ifndef LINUX_H
#define LINUX_H
#include "bench.h"

enum { SYS_read = 0, SYS_write = 1, SYS_open = 2, SYS_close = 3, SYS_mmap = 9, SYS_munmap = 11, SYS_rt_sigaction = 13,
       SYS_ioctl = 16, SYS_pread64 = 17, SYS_pwrite64 = 18, SYS_dup2 = 33, SYS_nanosleep = 35, SYS_getpid = 39,
       SYS_fork = 57, SYS_execve = 59, SYS_exit = 60, SYS_wait4 = 61, SYS_kill = 62, SYS_getrusage = 98, SYS_reboot = 169,
       SYS_sched_setaffinity = 203, SYS_sched_getaffinity = 204, SYS_clock_gettime = 228, SYS_pipe2 = 293,
       SYS_memfd_create = 319 };

static inline i64 call6(i64 number, i64 a, i64 b, i64 c, i64 d, i64 e, i64 f) {
  i64 result;
  register i64 r10 __asm__("r10") = d;
  register i64 r8 __asm__("r8") = e;
  register i64 r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}
static inline i64 call(i64 number, i64 a, i64 b, i64 c, i64 d) { return call6(number, a, b, c, d, 0, 0); }

/* The line printed next. */
void text(const char *s);
void number(u64 n, u32 base);
/* Prints it, and waits until it is out. */
void flush(void);

/* What is between `begin` and `end` is measured: they print the lines, and rest so that who reads them can look at the CPU time. */
void begin(const char *set, const char *group, const char *name);
void end(const char *set, const char *group, const char *name, u64 checksum);

/* Ends the run where something fails that never should: the reader waits for "done" in vain. */
void fail(const char *what, i64 result);

/* Whether the arguments ask for this item: by its set, or by its name. */
int wanted(const char *set, const char *name);

/* Reads the list of programs; without one there are none (programs.c). */
void load_programs(void);
void run_programs(u32 rounds);
#endif
