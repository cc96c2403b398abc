/* Ciphers and hashes in plain C: SHA-256 (FIPS 180-4), ChaCha20 (RFC 8439), AES-128 with tables of words (FIPS 197). */
#include "bench.h"

enum { DATA = 4096 };
static u32 data[DATA / 4];

static void fill(void) {
  u64 seed = 362436069;
  for (u32 i = 0; i < DATA / 4; i++) data[i] = (u32)next_random(&seed);
}

static u32 left(u32 x, int n) { return x << n | x >> (32 - n); }
static u32 right(u32 x, int n) { return x >> n | x << (32 - n); }

static const u32 sha_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static void sha_block(u32 *hash, const u32 *block) {
  u32 w[64], s[8];
  for (int i = 0; i < 16; i++) w[i] = block[i];
  for (int i = 16; i < 64; i++) {
    u32 a = w[i - 15], b = w[i - 2];
    w[i] = w[i - 16] + (right(a, 7) ^ right(a, 18) ^ a >> 3) + w[i - 7] + (right(b, 17) ^ right(b, 19) ^ b >> 10);
  }
  for (int i = 0; i < 8; i++) s[i] = hash[i];
  for (int i = 0; i < 64; i++) {
    u32 e = s[4], a = s[0];
    u32 t = s[7] + (right(e, 6) ^ right(e, 11) ^ right(e, 25)) + ((e & s[5]) ^ (~e & s[6])) + sha_constants[i] + w[i];
    u32 u = (right(a, 2) ^ right(a, 13) ^ right(a, 22)) + ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
    for (int j = 7; j > 0; j--) s[j] = s[j - 1];
    s[4] += t;
    s[0] = t + u;
  }
  for (int i = 0; i < 8; i++) hash[i] += s[i];
}

static u64 sha256(u32 n) {
  u32 hash[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  fill();
  for (u32 round = 0; round < n; round++) {
    for (u32 i = 0; i < DATA / 4; i += 16) sha_block(hash, data + i);
  }
  return (u64)hash[0] << 32 | hash[7];
}

#define QUARTER(a, b, c, d) \
  a += b, d = left(d ^ a, 16), c += d, b = left(b ^ c, 12), a += b, d = left(d ^ a, 8), c += d, b = left(b ^ c, 7)

static u64 chacha20(u32 n) {
  u32 state[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574, 1, 2, 3, 4, 5, 6, 7, 8, 0, 9, 10, 11};
  fill();
  for (u32 round = 0; round < n; round++) {
    for (u32 at = 0; at < DATA / 4; at += 16) {
      u32 x[16];
      for (int i = 0; i < 16; i++) x[i] = state[i];
      for (int i = 0; i < 10; i++) {
        QUARTER(x[0], x[4], x[8], x[12]);
        QUARTER(x[1], x[5], x[9], x[13]);
        QUARTER(x[2], x[6], x[10], x[14]);
        QUARTER(x[3], x[7], x[11], x[15]);
        QUARTER(x[0], x[5], x[10], x[15]);
        QUARTER(x[1], x[6], x[11], x[12]);
        QUARTER(x[2], x[7], x[8], x[13]);
        QUARTER(x[3], x[4], x[9], x[14]);
      }
      for (u32 i = 0; i < 16; i++) data[at + i] ^= x[i] + state[i];
      state[12]++;
    }
  }
  return (u64)data[0] << 32 | data[DATA / 4 - 1];
}

static u8 box[256];
static u32 mixed[4][256];

static u8 twice(u8 x) { return (u8)(x << 1 ^ (x & 0x80 ? 0x1b : 0)); }

/* The S-box by the powers of 3 and their inverses, and the tables that join it with MixColumns. */
static void make_aes_tables(void) {
  u8 p = 1, q = 1;
  do {
    p = (u8)(p ^ twice(p));
    q = (u8)(q ^ q << 1);
    q = (u8)(q ^ q << 2);
    q = (u8)(q ^ q << 4);
    if (q & 0x80) q ^= 0x09;
    u32 x = q;
    x |= x << 8;
    box[p] = (u8)(x ^ x >> 7 ^ x >> 6 ^ x >> 5 ^ x >> 4 ^ 0x63);
  } while (p != 1);
  box[0] = 0x63;
  for (u32 i = 0; i < 256; i++) {
    u8 s = box[i], d = twice(s);
    u32 word = (u32)d << 24 | (u32)s << 16 | (u32)s << 8 | (u8)(s ^ d);
    for (int j = 0; j < 4; j++) mixed[j][i] = j ? right(word, 8 * j) : word;
  }
}

static u32 substitute(u32 a, u32 b, u32 c, u32 d) {
  return (u32)box[a >> 24] << 24 | (u32)box[b >> 16 & 0xff] << 16 | (u32)box[c >> 8 & 0xff] << 8 | box[d & 0xff];
}

/* Cipher block chaining. */
static u64 aes128(u32 n) {
  u32 key[44] = {0x2b7e1516, 0x28aed2a6, 0xabf71588, 0x09cf4f3c}, s[4] = {0, 0, 0, 0};
  u8 round_constant = 1;
  fill();
  make_aes_tables();
  for (int i = 4; i < 44; i++) {
    u32 word = key[i - 1];
    if (i % 4 == 0) {
      word = left(word, 8);
      word = substitute(word, word, word, word) ^ (u32)round_constant << 24;
      round_constant = twice(round_constant);
    }
    key[i] = key[i - 4] ^ word;
  }
  for (u32 round = 0; round < n; round++) {
    for (u32 at = 0; at < DATA / 4; at += 4) {
      for (u32 i = 0; i < 4; i++) s[i] ^= data[at + i] ^ key[i];
      for (int r = 1; r < 10; r++) {
        u32 t[4];
        for (u32 i = 0; i < 4; i++) {
          t[i] = mixed[0][s[i] >> 24] ^ mixed[1][s[(i + 1) & 3] >> 16 & 0xff] ^ mixed[2][s[(i + 2) & 3] >> 8 & 0xff] ^
                 mixed[3][s[(i + 3) & 3] & 0xff] ^ key[r * 4 + (int)i];
        }
        for (u32 i = 0; i < 4; i++) s[i] = t[i];
      }
      u32 a = s[0], b = s[1], c = s[2], d = s[3];
      s[0] = substitute(a, b, c, d) ^ key[40];
      s[1] = substitute(b, c, d, a) ^ key[41];
      s[2] = substitute(c, d, a, b) ^ key[42];
      s[3] = substitute(d, a, b, c) ^ key[43];
      for (u32 i = 0; i < 4; i++) data[at + i] = s[i];
    }
  }
  return (u64)s[0] << 32 | s[3];
}

const Item crypto_kernels[] = {{"sha256", sha256, 6500}, {"chacha20", chacha20, 22000}, {"aes128", aes128, 8000}, {0, 0, 0}};
