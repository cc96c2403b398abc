/*
 * What a kernel does for its programs: system calls, signals, page faults, files, pipes, switches between processes, new processes. The
 * guest's own kernel, so mostly privileged code, address spaces that change, and cold instructions.
 */
#include "linux.h"

enum { PROT_READ_WRITE = 3, MAP_PRIVATE_ANONYMOUS = 0x22, PAGE = 4096, SIGUSR1 = 10, SA_RESTORER = 0x04000000 };

static i64 must(const char *what, i64 result) {
  if (result < 0) fail(what, result);
  return result;
}

static u64 syscalls(u32 n) {
  u64 good = 0;
  for (u32 i = 0; i < n * 100; i++) good += call(SYS_getpid, 0, 0, 0, 0) > 0;
  return good;
}

static volatile u32 signals;
static void on_signal(int number) { signals += (u32)number; }
__asm__("restore: mov $15, %eax\n syscall\n");
extern void restore(void);

static u64 signal(u32 n) {
  struct {
    void (*handler)(int);
    u64 flags;
    void (*restorer)(void);
    u64 mask;
  } action = {on_signal, SA_RESTORER, restore, 0};
  must("rt_sigaction", call(SYS_rt_sigaction, SIGUSR1, (i64)&action, 0, sizeof action.mask));
  i64 self = call(SYS_getpid, 0, 0, 0, 0);
  signals = 0;
  for (u32 i = 0; i < n * 10; i++) must("kill", call(SYS_kill, self, SIGUSR1, 0, 0));
  return signals;
}

/* Memory asked for, touched a page at a time, and given back. */
static u64 faults(u32 n) {
  enum { SIZE = 256 * PAGE };
  u64 sum = 0;
  for (u32 i = 0; i < n; i++) {
    u8 *memory = (u8 *)must("mmap", call6(SYS_mmap, 0, SIZE, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0));
    for (u32 at = 0; at < SIZE; at += PAGE) memory[at] = (u8)(at / PAGE + i);
    for (u32 at = 0; at < SIZE; at += PAGE) sum += memory[at];
    must("munmap", call(SYS_munmap, (i64)memory, SIZE, 0, 0));
  }
  return sum;
}

/* Reads and writes of a file in memory. */
static u64 files(u32 n) {
  u8 buffer[PAGE] = {0};
  u64 sum = 0;
  i64 file = must("memfd_create", call(SYS_memfd_create, (i64) "bench", 0, 0, 0));
  for (u32 i = 0; i < n * 10; i++) {
    i64 at = (i64)(i % 64) * PAGE;
    buffer[i % PAGE] ^= (u8)i;
    must("pwrite64", call(SYS_pwrite64, file, (i64)buffer, PAGE, at));
    must("pread64", call(SYS_pread64, file, (i64)buffer, PAGE, at));
    sum += buffer[(i * 7) % PAGE];
  }
  call(SYS_close, file, 0, 0, 0);
  return sum;
}

/* On one processor, as in the guest: what a second one does for new processes is not measured. */
static u64 processors;
static void stay(void) {
  must("sched_getaffinity", call(SYS_sched_getaffinity, 0, sizeof processors, (i64)&processors, 0));
  u64 one = processors & -processors;
  call(SYS_sched_setaffinity, 0, sizeof one, (i64)&one, 0);
}
static void roam(void) { call(SYS_sched_setaffinity, 0, sizeof processors, (i64)&processors, 0); }

/* A byte through two pipes, there and back between two processes: two switches each time. */
static u64 switches(u32 n) {
  int there[2], back[2];
  u64 sum = 0;
  stay();
  must("pipe2", call(SYS_pipe2, (i64)there, 0, 0, 0));
  must("pipe2", call(SYS_pipe2, (i64)back, 0, 0, 0));
  i64 child = must("fork", call(SYS_fork, 0, 0, 0, 0));
  u8 byte = 0;
  if (child == 0) {
    call(SYS_close, there[1], 0, 0, 0);
    while (call(SYS_read, there[0], (i64)&byte, 1, 0) == 1) {
      byte++;
      call(SYS_write, back[1], (i64)&byte, 1, 0);
    }
    call(SYS_exit, 0, 0, 0, 0);
  }
  for (u32 i = 0; i < n * 10; i++) {
    must("write", call(SYS_write, there[1], (i64)&byte, 1, 0));
    must("read", call(SYS_read, back[0], (i64)&byte, 1, 0));
    sum += byte;
  }
  for (int i = 0; i < 2; i++) {
    call(SYS_close, there[i], 0, 0, 0);
    call(SYS_close, back[i], 0, 0, 0);
  }
  must("wait4", call(SYS_wait4, child, 0, 0, 0));
  roam();
  return sum;
}

static u64 forks(u32 n) {
  u64 sum = 0;
  stay();
  for (u32 i = 0; i < n; i++) {
    i64 child = must("fork", call(SYS_fork, 0, 0, 0, 0));
    if (child == 0) call(SYS_exit, i & 0x7f, 0, 0, 0);
    int status = 0;
    must("wait4", call(SYS_wait4, child, (i64)&status, 0, 0));
    sum += (u64)(status >> 8);
  }
  roam();
  return sum;
}

/* A process that becomes another program: this one again, told to end at once. */
static u64 execs(u32 n) {
  static const char *const argv[] = {"init", "exit", 0}, *const envp[] = {0};
  u64 sum = 0;
  stay();
  for (u32 i = 0; i < n; i++) {
    i64 child = must("fork", call(SYS_fork, 0, 0, 0, 0));
    if (child == 0) {
      call(SYS_execve, (i64) "init", (i64)argv, (i64)envp, 0);
      call(SYS_exit, 127, 0, 0, 0);
    }
    int status = 0;
    must("wait4", call(SYS_wait4, child, (i64)&status, 0, 0));
    if (status != 0) fail("execve", status >> 8);
    sum++;
  }
  roam();
  return sum;
}

const Item system_items[] = {{"syscall", syscalls, 7500}, {"signal", signal, 6000}, {"fault", faults, 290},
                             {"file", files, 14000},       {"switch", switches, 3400}, {"fork", forks, 1300},
                             {"exec", execs, 750},        {0, 0, 0}};
