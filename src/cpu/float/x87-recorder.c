/*
 * Runs x87 instructions on the processor it is started on and says what they did.
 * Reads records from standard input and writes one for each to standard output, both packed:
 *   in:  length of the code (u32), EFLAGS (u32), code (16 bytes), FSAVE image (108, 4 unused), memory (512)
 *   out: 0 (u32), EFLAGS (u32), AX (u64), unused (8), FSAVE image, memory
 * A memory operand is addressed by RSI.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

struct record {
  uint32_t length, eflags;
  uint8_t code[16];
  uint8_t image[112];
  uint8_t memory[512];
};

int main(void) {
  static struct record r;
  static uint8_t memory[512] __attribute__((aligned(64)));
  uint8_t *code = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (code == MAP_FAILED) return 2;
  while (fread(&r, sizeof r, 1, stdin) == 1) {
    uint64_t flags = r.eflags, rax = 0x1111;
    memcpy(code, r.code, r.length);
    code[r.length] = 0xc3;
    memcpy(memory, r.memory, sizeof memory);
    __asm__ volatile(
        "frstor (%[image])\n\t"
        "push %[flags]\n\t"
        "popf\n\t"
        "call *%[code]\n\t"
        "pushf\n\t"
        "pop %[flags]\n\t"
        "fnsave (%[image])\n\t"
        : [flags] "+b"(flags), "+a"(rax)
        : [image] "D"(r.image), [code] "r"(code), "S"(memory)
        : "memory", "cc");
    r.length = 0;
    r.eflags = (uint32_t)flags;
    memcpy(r.code, &rax, 8);
    memcpy(r.memory, memory, sizeof memory);
    fwrite(&r, sizeof r, 1, stdout);
  }
  return 0;
}
