/*
 * The measured pieces of work. They run natively, in a guest under Linux (main.c) and on the bare 32-bit machine (bare.c), so they need nothing
 * but the compiler.
 */
#ifndef BENCH_H
#define BENCH_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int i32;
typedef long long i64;
/* As wide as a register. */
typedef unsigned long uword;

/* One measured piece of work: does `n` units of it and returns a checksum that must be the same everywhere. */
typedef struct {
  const char *name;
  u64 (*run)(u32 n);
  /* Units that take some 150 ms on a processor of the 2020s; of system items, some 60. */
  u32 units;
} Item;

/* Items whose speed has the same cause; the report has a geometric mean for each. */
typedef struct {
  const char *name;
  /* Ends with an item without a name. */
  const Item *items;
} Group;

/* The kernels' groups, the last without a name (kernels.c). */
extern const Group kernels[];
extern const Item integer_kernels[], memory_kernels[], control_kernels[], float_kernels[], x87_kernels[],
    vector_kernels[], crypto_kernels[], compression_kernels[];
/* What needs a Linux (system.c). */
extern const Item system_items[];

/* A generator for test data: xorshift64 (Marsaglia, "Xorshift RNGs", 2003). */
static inline u64 next_random(u64 *state) {
  u64 x = *state;
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  return *state = x;
}

static inline u64 bits_of(double x) {
  u64 bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  return bits;
}
static inline u32 bits_of_single(float x) {
  u32 bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  return bits;
}

/* Keeps the compiler from knowing a value. */
#define OPAQUE(x) __asm__ volatile("" : "+r"(x))

#endif
