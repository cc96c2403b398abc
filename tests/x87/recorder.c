/*
 * Runs x87 instructions on the processor it is started on and says what they did.
 * Reads records from standard input and writes one for each to standard output, both packed:
 *   in:  length of the code (u32), EFLAGS (u32), code (16 bytes), FSAVE image (108, 4 unused), memory (640)
 *   out: 0 (u32), EFLAGS (u32), AX (u64), unused (8), FSAVE image, memory
 * A memory operand is addressed by RSI. EDX:EAX is 3: x87 and SSE for XSAVE.
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
  uint8_t memory[640];
};

int main(void) {
  static struct record r;
  static uint8_t memory[640] __attribute__((aligned(64)));
  uint8_t *code = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (code == MAP_FAILED) return 2;
  uint32_t mxcsr = 0x1f80;
  while (fread(&r, sizeof r, 1, stdin) == 1) {
    uint64_t flags = r.eflags, rax = 3;
    memcpy(code, r.code, r.length);
    code[r.length] = 0xc3;
    memcpy(memory, r.memory, sizeof memory);
    __asm__ volatile(
        "ldmxcsr (%[mxcsr])\n\t"
        "frstor (%[image])\n\t"
        "push %[flags]\n\t"
        "popf\n\t"
        "call *%[code]\n\t"
        "pushf\n\t"
        "pop %[flags]\n\t"
        "fnsave (%[image])\n\t"
        "ldmxcsr (%[mxcsr])\n\t"
        : [flags] "+b"(flags), "+a"(rax)
        : [image] "D"(r.image), [code] "r"(code), "S"(memory), "d"(0L), [mxcsr] "r"(&mxcsr)
        : "memory", "cc", "rcx", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
          "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
    r.length = 0;
    r.eflags = (uint32_t)flags;
    memcpy(r.code, &rax, 8);
    memcpy(r.memory, memory, sizeof memory);
    fwrite(&r, sizeof r, 1, stdout);
  }
  return 0;
}
