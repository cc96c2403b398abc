/* Memory kernels: loads and stores, byte loops, string instructions, dependent loads. */
#include "bench.h"

/* The sieve of Eratosthenes, a byte for each number. */
static u8 composite[1 << 18];

static u64 sieve(u32 n) {
  u64 primes = 0;
  for (u32 round = 0; round < n; round++) {
    for (u32 i = 0; i < sizeof composite; i++) composite[i] = 0;
    for (u32 i = 2; i < sizeof composite; i++) {
      if (composite[i]) continue;
      primes++;
      for (u32 j = i + i; j < sizeof composite; j += i) composite[j] = 1;
    }
  }
  return primes;
}

/* A byte loop that copies and transforms, as careless C does. */
static u8 from[8192], to[8192];

static u64 bytes(u32 n) {
  u64 sum = 0;
  for (u32 i = 0; i < sizeof from; i++) from[i] = (u8)(i * 7 + (i >> 8));
  for (u32 round = 0; round < n; round++) {
    const u8 *source = from;
    u8 *target = to;
    OPAQUE(source);
    OPAQUE(target);
    for (u32 i = 0; i < sizeof from; i++) target[i] = (u8)(source[i] + 1);
    source = to;
    target = from;
    OPAQUE(source);
    OPAQUE(target);
    for (u32 i = 0; i < sizeof from; i++) target[i] = source[i];
    sum += from[round % sizeof from];
  }
  return sum;
}

#ifdef __x86_64__
/* String instructions with REP over short and long pieces, and strlen by bytes and by REPNE SCASB. */
static char strings[64][128];
static u8 block_a[16384], block_b[16384];

static void rep_movsb(void *target, const void *source, uword n) {
  __asm__ volatile("rep movsb" : "+D"(target), "+S"(source), "+c"(n) : : "memory");
}
static void rep_stosq(void *target, uword value, uword n) {
  __asm__ volatile("rep stosq" : "+D"(target), "+c"(n) : "a"(value) : "memory");
}
static uword scas_length(const char *s) {
  uword left = ~0ul;
  __asm__ volatile("repne scasb" : "+D"(s), "+c"(left) : "a"(0) : "memory");
  return ~left - 1;
}
static uword length(const char *s) {
  const char *end = s;
  while (*end) end++;
  return (uword)(end - s);
}

static u64 string(u32 n) {
  u64 seed = 2463534242, sum = 0;
  for (u32 i = 0; i < 64; i++) {
    u32 size = (u32)next_random(&seed) % 120 + 4;
    for (u32 j = 0; j < size; j++) strings[i][j] = (char)('a' + (i + j) % 26);
    strings[i][size] = 0;
  }
  for (u32 round = 0; round < n; round++) {
    for (u32 i = 0; i < 64; i++) {
      char *s = strings[i];
      OPAQUE(s);
      uword size = length(s);
      rep_movsb(block_b + i * 128, s, size + 1);
      sum += size + scas_length((char *)block_b + i * 128);
    }
    rep_stosq(block_a, round, sizeof block_a / 8);
    rep_movsb(block_b, block_a, sizeof block_b);
    sum += block_b[(round * 8) % sizeof block_b];
  }
  return sum;
}

#endif

/* A random cycle through 1 MiB, each load's address the last one's value. */
enum { NODES = 1 << 14, STRIDE = 64 / sizeof(u32) };
static u32 cycle[NODES * STRIDE];
static u32 order[NODES];

static u64 chase(u32 n) {
  static int made;
  if (!made) {
    u64 seed = 362436069;
    for (u32 i = 0; i < NODES; i++) order[i] = i;
    for (u32 i = NODES - 1; i > 0; i--) {
      u32 j = (u32)next_random(&seed) % i, swap = order[i];
      order[i] = order[j];
      order[j] = swap;
    }
    for (u32 i = 0; i < NODES; i++) cycle[order[i] * STRIDE] = order[(i + 1) % NODES] * STRIDE;
    made = 1;
  }
  u32 at = 0;
  u64 sum = 0;
  for (u32 i = 0; i < n * 1000; i++) {
    at = cycle[at];
    sum += at;
  }
  return sum;
}

const Item memory_kernels[] = {{"sieve", sieve, 200},
                               {"bytes", bytes, 40000},
#ifdef __x86_64__
                               {"string", string, 72000},
#endif
                               {"chase", chase, 26000},
                               {0, 0, 0}};
