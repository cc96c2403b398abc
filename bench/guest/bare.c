/*
 * The kernels on the bare 32-bit machine, for those that know no 64 bits: a Multiboot kernel with paging on, 4-KiB pages, no interrupts.
 * There is no clock here that all machines agree on: it prints "begin SET GROUP/NAME" and "end SET GROUP/NAME 0 0 CHECKSUM", and who
 * reads that takes the time. From the command line it takes percent= and rounds=.
 */
#include "bench.h"

enum { COM1 = 0x3f8, LINE_STATUS = 5, TRANSMITTER_EMPTY = 0x20, LINE_CONTROL = 3, EIGHT_BITS = 3 };
enum { PAGE_TABLES = 4, PRESENT_WRITABLE = 3 };

static void out(u16 port, u8 value) { __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }
static u8 in(u16 port) {
  u8 value;
  __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}

static void character(char c) {
  while (!(in(COM1 + LINE_STATUS) & TRANSMITTER_EMPTY));
  out(COM1, (u8)c);
}
static void text(const char *s) {
  while (*s) character(*s++);
}
static void word(const char *s) {
  for (; *s; s++) character(*s == ' ' ? '-' : *s);
}
static void hexadecimal(u64 n) {
  int digit = 60;
  while (digit > 0 && n >> digit == 0) digit -= 4;
  for (; digit >= 0; digit -= 4) character("0123456789abcdef"[n >> digit & 15]);
}
static void say(const char *what, const char *group, const char *name) {
  text(what);
  text(" bare ");
  word(group);
  text("/");
  text(name);
}

static u32 directory[1024] __attribute__((aligned(4096)));
static u32 tables[PAGE_TABLES][1024] __attribute__((aligned(4096)));

/* The first 16 MiB where they are (SDM vol. 3A, 4.3), and SSE as an operating system switches it on (13.1.3). */
static void prepare(void) {
  for (u32 i = 0; i < PAGE_TABLES * 1024; i++) tables[i / 1024][i % 1024] = i << 12 | PRESENT_WRITABLE;
  for (u32 i = 0; i < PAGE_TABLES; i++) directory[i] = (u32)tables[i] | PRESENT_WRITABLE;
  u32 cr;
  __asm__ volatile("mov %0, %%cr3" : : "r"(directory));
  __asm__ volatile("mov %%cr4, %0\n or $0x600, %0\n mov %0, %%cr4" : "=&r"(cr));
  __asm__ volatile("mov %%cr0, %0\n and $~4, %0\n or $0x80010002, %0\n mov %0, %%cr0\n fninit" : "=&r"(cr) : : "memory");
  out(COM1 + LINE_CONTROL, EIGHT_BITS);
}

/* The number after `name` in the command line, or `otherwise`. */
static u32 parameter(const char *line, const char *name, u32 otherwise) {
  for (; *line; line++) {
    u32 i = 0, value = 0;
    while (name[i] && line[i] == name[i]) i++;
    if (name[i]) continue;
    for (; line[i] >= '0' && line[i] <= '9'; i++) value = value * 10 + (u32)(line[i] - '0');
    return value;
  }
  return otherwise;
}

__attribute__((used)) static void start(const u32 *multiboot) {
  prepare();
  const char *line = multiboot[0] & 4 ? (const char *)multiboot[4] : "";
  u32 percent = parameter(line, "percent=", 100), rounds = parameter(line, "rounds=", 1);
  for (const Group *group = kernels; group->name; group++) {
    for (const Item *item = group->items; item->name; item++) {
      u32 units = item->units * percent / 100;
      item->run(1);
      for (u32 round = 0; round < rounds; round++) {
        say("begin", group->name, item->name);
        text("\n");
        u64 checksum = item->run(units ? units : 1);
        say("end", group->name, item->name);
        text(" 0 0 ");
        hexadecimal(checksum);
        text("\n");
      }
    }
  }
  text("done\n");
}

static u8 stack[65536] __attribute__((used, aligned(16)));

/* The header and the state at the entry: Multiboot Specification 0.6.96, 3.1 and 3.2. */
__asm__(".section .multiboot, \"a\"\n .align 4\n .long 0x1badb002, 0, -0x1badb002\n"
        ".text\n .globl _start\n_start: cli\n mov $stack + 65536, %esp\n sub $12, %esp\n push %ebx\n call start\n"
        "halt: hlt\n jmp halt\n");
