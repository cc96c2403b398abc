/* The kernels in the order they are measured and reported. */
#include "bench.h"

const Group kernels[] = {{"integer", integer_kernels}, {"memory", memory_kernels},
                         {"branches", control_kernels}, {"floating point", float_kernels},
                         {"x87", x87_kernels},          {"SSE", vector_kernels},
                         {"crypto", crypto_kernels},    {"compression", compression_kernels},
                         {0, 0}};

/* gcc may ask for these whatever it is told. */
void *memcpy(void *to, const void *from, uword n) {
  void *result = to;
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
  return result;
}
void *memset(void *to, int value, uword n) {
  void *result = to;
  __asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(value) : "memory");
  return result;
}
