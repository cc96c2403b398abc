/*
 * Runs single instructions in user mode on the processor it is started on, and says what they did.
 *   recorder IN OUT: files of records (layout.ts, whose numbers come as macros); each record is a state to start from,
 *   and is written back as the state it ended in.
 * A signal's frame holds all of the state: to start a run the handler changes the frame and returns; a run ends with INT3
 * or a fault, whose signal says vector, error code and address.
 */
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

static uint8_t *records, *out;
static size_t count, next;
static uint64_t own_fs, own_gs;

static const int order[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
  REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };

static void load_memory(const uint8_t *r) {
  memset((void *)CODE, 0xcc, PAGE);
  memcpy((void *)INSTRUCTION, r + CODE_PART, CODE_BYTES);
  memset((void *)DATA, 0, 2 * PAGE);
  memcpy((void *)WINDOW, r + DATA_WINDOW, WINDOW_BYTES);
  memset((void *)STACK, 0, PAGE);
  memcpy((void *)STACK_WINDOW, r + STACK_PART, STACK_WINDOW_BYTES);
}

static void save(uint8_t *r, const ucontext_t *uc, const uint16_t *selectors, uint64_t fs, uint64_t gs) {
  const greg_t *g = uc->uc_mcontext.gregs;
  for (int i = 0; i < 16; i++) memcpy(r + GPR + 8 * i, &g[order[i]], 8);
  memcpy(r + RIP, &g[REG_RIP], 8);
  memcpy(r + RFLAGS, &g[REG_EFL], 8);
  uint16_t all[6] = { (uint16_t)g[REG_CSGSFS], selectors[0], selectors[1], (uint16_t)((uint64_t)g[REG_CSGSFS] >> 48),
    selectors[2], selectors[3] };
  memcpy(r + SELECTORS, all, sizeof all);
  memcpy(r + FS_BASE, &fs, 8);
  memcpy(r + GS_BASE, &gs, 8);
  uint32_t vector = (uint32_t)g[REG_TRAPNO], error = (uint32_t)g[REG_ERR];
  uint64_t cr2 = vector == 14 ? (uint64_t)g[REG_CR2] : 0;
  memcpy(r + VECTOR, &vector, 4);
  memcpy(r + ERROR, &error, 4);
  memcpy(r + CR2, &cr2, 8);
  const uint8_t *image = (const uint8_t *)uc->uc_mcontext.fpregs;
  memcpy(r + FX, image, 512);
  /* Behind the XSAVE header lies AVX, which is not written where it is in its initial state. */
  if (image[512] & 4) memcpy(r + YMM, image + 576, 256);
  else memset(r + YMM, 0, 256);
  memcpy(r + DATA_WINDOW, (void *)WINDOW, WINDOW_BYTES);
  memcpy(r + STACK_PART, (void *)STACK_WINDOW, STACK_WINDOW_BYTES);
}

static void handler(int number, siginfo_t *info, void *context) {
  ucontext_t *uc = context;
  uint16_t selectors[4];
  uint64_t fs, gs;
  /* The C below relies on DF and AC; NT and ID would stay, as sigreturn does not restore them. */
  __asm__ volatile("pushf\n andl $0xffdbbaff, (%%rsp)\n popf\n"
    "mov %%ds, %0\n mov %%es, %1\n mov %%fs, %2\n mov %%gs, %3\n"
    : "=m"(selectors[0]), "=m"(selectors[1]), "=m"(selectors[2]), "=m"(selectors[3]) : : "cc");
  __asm__ volatile("rdfsbase %0\n rdgsbase %1" : "=r"(fs), "=r"(gs));
  static int running;
  if (running) {
    save(out + next * SIZE, uc, selectors, fs, gs);
    next++;
  }
  running = 1;
  if (next == count) {
    __asm__ volatile("mov %0, %%fs\n mov %0, %%gs\n wrfsbase %1\n wrgsbase %2" : : "r"(0), "r"(own_fs), "r"(own_gs));
    _exit(0);
  }
  const uint8_t *r = records + next * SIZE;
  load_memory(r);
  greg_t *g = uc->uc_mcontext.gregs;
  for (int i = 0; i < 16; i++) memcpy(&g[order[i]], r + GPR + 8 * i, 8);
  memcpy(&g[REG_RIP], r + RIP, 8);
  memcpy(&g[REG_EFL], r + RFLAGS, 8);
  uint16_t all[6];
  memcpy(all, r + SELECTORS, sizeof all);
  g[REG_CSGSFS] = (greg_t)(all[0] | (uint64_t)all[3] << 48);
  /* The XSAVE header behind the image: x87, SSE and AVX come from the image. */
  uint8_t *image = (uint8_t *)uc->uc_mcontext.fpregs;
  memcpy(image, r + FX, 416);
  memcpy(image + 576, r + YMM, 256);
  image[512] |= 7;
  memcpy(&fs, r + FS_BASE, 8);
  memcpy(&gs, r + GS_BASE, 8);
  __asm__ volatile("mov %w0, %%ds\n mov %w1, %%es\n mov %w2, %%fs\n mov %w3, %%gs\n wrfsbase %4\n wrgsbase %5"
    : : "r"((uint32_t)all[1]), "r"((uint32_t)all[2]), "r"((uint32_t)all[4]), "r"((uint32_t)all[5]), "r"(fs), "r"(gs));
}

/* A test that does not end; its number and its bytes. */
static void late(int number) {
  __asm__ volatile("wrfsbase %0" : : "r"(own_fs));
  fprintf(stderr, "record %zu does not end:", next);
  for (int i = 0; i < CODE_BYTES; i++) fprintf(stderr, " %02x", records[next * SIZE + CODE_PART + i]);
  _exit(6);
}

static uint8_t *map(const char *path, int flags, int protection, size_t *length) {
  int file = open(path, flags, 0600);
  struct stat status;
  if (file < 0) return 0;
  if (*length && ftruncate(file, (off_t)*length)) return 0;
  if (fstat(file, &status)) return 0;
  *length = (size_t)status.st_size;
  void *at = mmap(0, *length, protection, MAP_SHARED, file, 0);
  return at == MAP_FAILED ? 0 : at;
}

static int page(uint64_t at, size_t length, int protection) {
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE;
  return mmap((void *)at, length, protection, flags, -1, 0) == (void *)at;
}

/* An LDT entry: 64 KiB of 16-bit code or data (contents 2 or 0). */
static int segment(unsigned entry, unsigned base, unsigned contents) {
  struct user_desc d = { .entry_number = entry, .base_addr = base, .limit = 0xffff, .contents = contents };
  return syscall(SYS_modify_ldt, 1, &d, sizeof d) == 0;
}

int main(int argc, char **argv) {
  size_t length = 0;
  if (argc != 3 || !(records = map(argv[1], O_RDONLY, PROT_READ, &length))) return 2;
  count = length / SIZE;
  if (!(out = map(argv[2], O_RDWR | O_CREAT, PROT_READ | PROT_WRITE, &length))) return 2;
  if (!page(CODE, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC) || !page(DATA, 2 * PAGE, PROT_READ | PROT_WRITE) ||
      !page(READ_ONLY, PAGE, PROT_READ | PROT_WRITE) || !page(STACK, PAGE, PROT_READ | PROT_WRITE)) return 3;
  if (!segment(0, CODE, 2) || !segment(1, DATA, 0)) return 5;
  for (int i = 0; i < PAGE; i++) ((uint8_t *)READ_ONLY)[i] = (uint8_t)(i * 7 + 3);
  mprotect((void *)READ_ONLY, PAGE, PROT_READ);
  __asm__ volatile("rdfsbase %0\n rdgsbase %1" : "=r"(own_fs), "=r"(own_gs));
  const size_t stack_size = 1 << 20;
  stack_t stack = { .ss_sp = mmap(0, stack_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), .ss_size = stack_size };
  sigaltstack(&stack, 0);
  struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
  const int numbers[] = { SIGTRAP, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGSYS };
  for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++) sigaction(numbers[i], &action, 0);
  struct sigaction slow = { .sa_handler = late, .sa_flags = SA_ONSTACK };
  sigaction(SIGALRM, &slow, 0);
  alarm(100);
  __asm__ volatile("int3");
  return 4;
}
