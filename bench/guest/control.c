/* Control-flow kernels: unpredictable branches, calls, sorting through a function pointer, a small interpreter. */
#include "bench.h"

/* Branches on random bits. */
static u64 branchy(u32 n) {
  u64 state = 88172645463325252, odd = 0, low = 0, steps = 0;
  for (u32 i = 0; i < n * 1000; i++) {
    u64 x = next_random(&state);
    if (x & 1) odd += x >> 60;
    else low ^= x;
    if ((x & 0x700) == 0x300) steps += 3;
    else if (x & 0x800) steps ^= i;
    if ((i64)x < 0) low += steps;
  }
  return odd ^ low ^ steps;
}

/* Recursive calls. */
__attribute__((noinline, optimize("no-optimize-sibling-calls", "no-inline"))) static u32 fib(u32 n) {
  return n < 2 ? n : fib(n - 1) + fib(n - 2);
}
static u64 calls(u32 n) {
  u64 sum = 0;
  for (u32 i = 0; i < n; i++) {
    u32 m = 20;
    OPAQUE(m);
    sum += fib(m);
  }
  return sum;
}

/* Quicksort after Hoare, comparing through a pointer as qsort(3) does. */
typedef int Compare(const u32 *, const u32 *);
enum { ITEMS = 8192 };
static u32 items[ITEMS];

__attribute__((noinline)) static int ascending(const u32 *a, const u32 *b) { return (*a > *b) - (*a < *b); }

static void sort(u32 *list, i32 low, i32 high, Compare *compare) {
  while (low < high) {
    u32 pivot = list[(low + high) / 2];
    i32 i = low, j = high;
    while (i <= j) {
      while (compare(&list[i], &pivot) < 0) i++;
      while (compare(&list[j], &pivot) > 0) j--;
      if (i > j) break;
      u32 swap = list[i];
      list[i++] = list[j];
      list[j--] = swap;
    }
    sort(list, low, j, compare);
    low = i;
  }
}

static u64 qsort(u32 n) {
  u64 seed = 521288629, sum = 0;
  Compare *compare = ascending;
  OPAQUE(compare);
  for (u32 round = 0; round < n; round++) {
    for (u32 i = 0; i < ITEMS; i++) items[i] = (u32)next_random(&seed);
    sort(items, 0, ITEMS - 1, compare);
    for (u32 i = 1; i < ITEMS; i++) sum += items[i - 1] <= items[i];
    sum ^= items[round % ITEMS];
  }
  return sum;
}

/* A stack machine with computed goto: indirect jumps whose targets follow the program. */
enum { PUSH, ADD, MUL, XOR, DUP, SWAP, LOAD, STORE, LOOP, STOP };

static u64 interpret(u32 n) {
  static const u8 program[] = {LOAD, 0, PUSH, 3,  MUL,   PUSH, 17, ADD, DUP, LOAD, 1,    XOR,
                               STORE, 1, STORE, 0, LOAD, 1,    LOAD, 0, SWAP, ADD, STORE, 2, LOOP, STOP};
  static const void *const labels[] = {&&push, &&add, &&mul, &&xor, &&dup, &&swap, &&load, &&store, &&loop, &&stop};
  u64 stack[8], variables[3] = {1, 2, 3}, *top = stack;
  const u8 *at = program;
  u32 left = n * 1000;
#define NEXT goto *labels[*at++]
  NEXT;
push:
  *top++ = *at++;
  NEXT;
add:
  top--;
  top[-1] += *top;
  NEXT;
mul:
  top--;
  top[-1] *= *top;
  NEXT;
xor:
  top--;
  top[-1] ^= *top;
  NEXT;
dup:
  *top = top[-1];
  top++;
  NEXT;
swap: {
  u64 swap = top[-1];
  top[-1] = top[-2];
  top[-2] = swap;
  NEXT;
}
load:
  *top++ = variables[*at++];
  NEXT;
store:
  variables[*at++] = *--top;
  NEXT;
loop:
  if (--left) at = program;
  NEXT;
stop:
  return variables[0] ^ variables[1] ^ variables[2];
}

const Item control_kernels[] = {
    {"branchy", branchy, 26000}, {"fib", calls, 5800}, {"qsort", qsort, 220}, {"interpreter", interpret, 13500}, {0, 0, 0}};
