/* The measured program: runs natively and as a guest's /init, so it needs nothing but the kernel's system calls. */
#ifndef BENCH_H
#define BENCH_H

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long u64;
typedef long i64;

/* One measured piece of work: does `n` units of it and returns a checksum that must be the same everywhere. */
typedef struct {
  const char *name;
  u64 (*run)(u64 n);
  /* Units that take some 20 ms on a processor of the 2020s. */
  u64 units;
} Kernel;

extern const Kernel integer_kernels[], memory_kernels[], control_kernels[], float_kernels[];

/* A generator for test data: xorshift64 (Marsaglia, "Xorshift RNGs", 2003). */
static inline u64 next_random(u64 *state) {
  u64 x = *state;
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  return *state = x;
}

/* Keeps the compiler from knowing a value. */
#define OPAQUE(x) __asm__ volatile("" : "+r"(x))

#endif
