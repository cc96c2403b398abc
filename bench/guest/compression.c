/*
 * Compression: matches found through a hash table and copied back, as LZ4 does it; and an adaptive binary arithmetic coder, whose
 * branches depend on the data bit by bit, as in LZMA.
 */
#include "bench.h"

enum { SIZE = 65536, TABLE = 4096, LEAST_MATCH = 4 };
static u8 plain[SIZE], packed[SIZE * 2], again[SIZE];
static u16 places[TABLE];

/* Words out of a small vocabulary: compresses about as text does. */
static void write_text(void) {
  u64 seed = 88172645463325252;
  u32 at = 0;
  while (at < SIZE) {
    u64 r = next_random(&seed);
    u32 word = (u32)r % 97 * (u32)(r >> 32 & 3), length = 2 + word % 9;
    for (u32 i = 0; i < length && at < SIZE; i++) plain[at++] = (u8)('a' + (word * 7 + i * (word % 5 + 1)) % 26);
    if (at < SIZE) plain[at++] = ' ';
  }
}

static u32 word_at(const u8 *p) {
  u32 word;
  __builtin_memcpy(&word, p, sizeof word);
  return word;
}

/* A block is: literals' count, literals, match's length, distance; counts have one byte, the distance two. */
static u32 lz_pack(void) {
  u32 out = 0, at = 0, begun = 0;
  for (u32 i = 0; i < TABLE; i++) places[i] = 0;
  while (at + LEAST_MATCH <= SIZE) {
    u32 hash = word_at(plain + at) * 2654435761u >> 20, place = places[hash];
    places[hash] = (u16)at;
    if (place >= at || word_at(plain + place) != word_at(plain + at)) {
      if (++at - begun < 255) continue;
      place = at;
    }
    u32 length = 0;
    while (place < at && at + length < SIZE && length < 255 && plain[place + length] == plain[at + length]) length++;
    packed[out++] = (u8)(at - begun);
    while (begun < at) packed[out++] = plain[begun++];
    packed[out++] = (u8)length;
    packed[out++] = (u8)(at - place);
    packed[out++] = (u8)((at - place) >> 8);
    begun = at += length;
  }
  packed[out++] = (u8)(SIZE - begun);
  while (begun < SIZE) packed[out++] = plain[begun++];
  return out;
}

static u32 lz_unpack(u32 size) {
  u32 in = 0, out = 0;
  while (in < size) {
    u32 literals = packed[in++];
    while (literals--) again[out++] = packed[in++];
    if (in >= size) break;
    u32 length = packed[in++], distance = packed[in] | (u32)packed[in + 1] << 8;
    in += 2;
    while (length--) again[out] = again[out - distance], out++;
  }
  return out;
}

static u64 lz(u32 n) {
  u64 sum = 0;
  write_text();
  for (u32 round = 0; round < n; round++) {
    u32 size = lz_pack();
    sum = sum * 31 + size + lz_unpack(size);
    for (u32 i = 0; i < SIZE; i += 251) sum += again[i] == plain[i];
    plain[(round * 977) % SIZE] ^= 1;
  }
  return sum;
}

/* Probability of a 0, in 4096ths, for each node of a tree of eight bits. */
static u16 odds[256];
static u32 low, range, coded;

static void encode_bit(u16 *odd, u32 bit) {
  u32 bound = (range >> 12) * *odd;
  if (bit) {
    low += bound;
    range -= bound;
    *odd = (u16)(*odd - (*odd >> 5));
  } else {
    range = bound;
    *odd = (u16)(*odd + ((4096 - *odd) >> 5));
  }
  /* Bytes that can no longer change go out; a range that has become too small across a byte's border is cut. */
  while ((low ^ (low + range)) < 1u << 24 || range < 1u << 16) {
    if ((low ^ (low + range)) >= 1u << 24) range = -low & 0xffff;
    packed[coded++] = (u8)(low >> 24);
    low <<= 8;
    range <<= 8;
  }
}

static u64 coder(u32 n) {
  u64 sum = 0;
  write_text();
  for (u32 round = 0; round < n; round++) {
    for (u32 i = 0; i < 256; i++) odds[i] = 2048;
    low = coded = 0;
    range = 0xffffffff;
    for (u32 i = 0; i < SIZE / 4; i++) {
      u32 node = 1;
      for (int bit = 7; bit >= 0; bit--) {
        u32 value = plain[i] >> bit & 1;
        encode_bit(&odds[node], value);
        node = node << 1 | value;
      }
    }
    for (u32 i = 0; i < coded; i += 97) sum = sum * 31 + packed[i];
    sum += coded;
    plain[(round * 977) % SIZE] ^= 1;
  }
  return sum;
}

const Item compression_kernels[] = {{"lz", lz, 480}, {"coder", coder, 390}, {0, 0, 0}};
