/* SSE2 kernels: packed single precision, a search through bytes, blending of pixels as graphics libraries do it. */
#include "bench.h"
/* Else gcc's header wants malloc, and with it a C library's headers. */
#define _MM_MALLOC_H_INCLUDED
#include <emmintrin.h>

enum { FLOATS = 4096, TEXT = 16384, PIXELS = 4096 };

/* Sums and products of four floats at a time, shuffled now and then. */
static float xs[FLOATS] __attribute__((aligned(16))), ys[FLOATS] __attribute__((aligned(16)));

static u64 packed(u32 n) {
  for (u32 i = 0; i < FLOATS; i++) {
    xs[i] = (float)(i % 61) * 0.125f;
    ys[i] = (float)(i % 17) * 0.5f;
  }
  __m128 total = _mm_setzero_ps();
  for (u32 round = 0; round < n; round++) {
    __m128 scale = _mm_set1_ps((float)(round % 7) * 0.0625f + 0.25f);
    for (u32 i = 0; i < FLOATS; i += 4) {
      __m128 x = _mm_load_ps(xs + i), y = _mm_load_ps(ys + i);
      y = _mm_add_ps(_mm_mul_ps(x, scale), _mm_mul_ps(y, _mm_set1_ps(0.5f)));
      _mm_store_ps(ys + i, _mm_min_ps(y, _mm_set1_ps(1000.0f)));
      total = _mm_add_ps(total, _mm_shuffle_ps(y, x, 0x4e));
    }
    total = _mm_mul_ps(total, _mm_set1_ps(0.001f));
  }
  float out[4];
  _mm_storeu_ps(out, total);
  return (u64)bits_of_single(out[0]) << 32 | (bits_of_single(out[1]) ^ bits_of_single(out[2]) ^ bits_of_single(out[3]));
}

/* Finds bytes sixteen at a time, as a C library's memchr does. */
static u8 haystack[TEXT] __attribute__((aligned(16)));

static u64 search(u32 n) {
  u64 seed = 2463534242, sum = 0;
  for (u32 i = 0; i < TEXT; i++) haystack[i] = (u8)(next_random(&seed) & 0x7f);
  for (u32 round = 0; round < n; round++) {
    __m128i needle = _mm_set1_epi8((char)(round & 0x7f));
    for (u32 i = 0; i < TEXT; i += 16) {
      __m128i equal = _mm_cmpeq_epi8(_mm_load_si128((const __m128i *)(haystack + i)), needle);
      u32 found = (u32)_mm_movemask_epi8(equal);
      if (found) sum += i + (u32)__builtin_ctz(found);
    }
  }
  return sum;
}

/* Blends one picture over another: unpacks bytes to words, multiplies, shifts, packs with saturation. */
static u32 above[PIXELS] __attribute__((aligned(16))), below[PIXELS] __attribute__((aligned(16)));

static u64 blend(u32 n) {
  u64 seed = 521288629, sum = 0;
  for (u32 i = 0; i < PIXELS; i++) {
    above[i] = (u32)next_random(&seed);
    below[i] = (u32)next_random(&seed);
  }
  __m128i zero = _mm_setzero_si128();
  for (u32 round = 0; round < n; round++) {
    __m128i alpha = _mm_set1_epi16((short)(round & 0xff)), rest = _mm_set1_epi16((short)(0xff - (round & 0xff)));
    for (u32 i = 0; i < PIXELS; i += 4) {
      __m128i a = _mm_load_si128((const __m128i *)(above + i)), b = _mm_load_si128((const __m128i *)(below + i));
      __m128i low = _mm_add_epi16(_mm_mullo_epi16(_mm_unpacklo_epi8(a, zero), alpha),
                                  _mm_mullo_epi16(_mm_unpacklo_epi8(b, zero), rest));
      __m128i high = _mm_add_epi16(_mm_mullo_epi16(_mm_unpackhi_epi8(a, zero), alpha),
                                   _mm_mullo_epi16(_mm_unpackhi_epi8(b, zero), rest));
      _mm_store_si128((__m128i *)(below + i), _mm_packus_epi16(_mm_srli_epi16(low, 8), _mm_srli_epi16(high, 8)));
    }
    sum = sum * 31 + below[(round * 13) % PIXELS];
    above[round % PIXELS] += 0x01030507;
  }
  return sum;
}

const Item vector_kernels[] = {{"packed", packed, 180000}, {"search", search, 88000}, {"blend", blend, 115000}, {0, 0, 0}};
