/* Integer kernels: simple operations in registers, wide multiplication, a table-driven checksum. */
#include "bench.h"

/* ALU: shifts, exclusive or, additions; no memory, one branch for a dozen operations. */
static u64 alu(u32 n) {
  u64 a = 0x9e3779b97f4a7c15, b = 1;
  u32 c = 7;
  for (u32 i = 0; i < n * 1000; i++) {
    a ^= a << 13;
    a ^= a >> 7;
    b += a & 0xffff;
    c = (c << 5 | c >> 27) ^ (u32)b;
    b -= c;
  }
  return a ^ b ^ c;
}

/* The same in 32 bits, with a multiplication. */
static u64 alu32(u32 n) {
  u32 a = 0x9e3779b9, b = 1, c = 7;
  for (u32 i = 0; i < n * 1000; i++) {
    a ^= a << 13;
    a ^= a >> 17;
    a ^= a << 5;
    b = b * 1664525 + a;
    c = (c << 5 | c >> 27) ^ b;
  }
  return (u64)a << 32 | (b ^ c);
}

/* A multiplication and additions of 64 bits: pairs of registers on a 32-bit machine. */
static u64 wide(u32 n) {
  u64 x = 0x123456789abcdef1, sum = 0;
  for (u32 i = 0; i < n * 1000; i++) {
    x = x * 6364136223846793005 + i;
    sum += x >> 33 ^ x << 7;
  }
  return sum;
}

#ifdef __x86_64__
/* 64-bit multiplication with the full product, as big-number code does it; and a division now and then. */
static u64 mul64(u32 n) {
  u64 x = 0x123456789abcdef1, hash = 0;
  for (u32 i = 0; i < n * 1000; i++) {
    unsigned __int128 product = (unsigned __int128)x * (0xd6e8feb86659fd93 + i);
    x = (u64)product ^ (u64)(product >> 64);
    hash = hash * 6364136223846793005 + x;
    if ((i & 63) == 0) hash += x / (i + 3);
  }
  return hash;
}
#endif

/* CRC-32 as in IEEE 802.3, a byte at a time. */
static u32 crc_table[256];
static u8 crc_data[16384];

static u64 crc32(u32 n) {
  u64 seed = 88172645463325252;
  for (u32 i = 0; i < 256; i++) {
    u32 c = i;
    for (int bit = 0; bit < 8; bit++) c = c & 1 ? c >> 1 ^ 0xedb88320 : c >> 1;
    crc_table[i] = c;
  }
  for (u32 i = 0; i < sizeof crc_data; i++) crc_data[i] = (u8)next_random(&seed);
  u32 c = 0xffffffff;
  for (u32 round = 0; round < n; round++) {
    for (u32 i = 0; i < sizeof crc_data; i++) c = crc_table[(c ^ crc_data[i]) & 0xff] ^ c >> 8;
  }
  return ~c;
}

const Item integer_kernels[] = {{"alu", alu, 120000},
                                {"alu32", alu32, 85000},
                                {"wide", wide, 145000},
#ifdef __x86_64__
                                {"mul64", mul64, 75000},
#endif
                                {"crc32", crc32, 4400},
                                {0, 0, 0}};
