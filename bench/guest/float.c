/* SSE2 kernels: products and sums of doubles; divisions, square roots and conversions. Results are exact everywhere. */
#include "bench.h"

enum { SIZE = 64 };
static double left[SIZE][SIZE], right[SIZE][SIZE], product[SIZE][SIZE];

static u64 bits_of(double x) {
  u64 bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  return bits;
}

static u64 matmul(u64 n) {
  u64 sum = 0;
  for (int i = 0; i < SIZE; i++) {
    for (int j = 0; j < SIZE; j++) {
      left[i][j] = (i * 3 + j) * 0.25;
      right[i][j] = (i - j) * 0.125;
    }
  }
  for (u64 round = 0; round < n; round++) {
    for (int i = 0; i < SIZE; i++) {
      for (int j = 0; j < SIZE; j++) {
        double dot = 0;
        for (int k = 0; k < SIZE; k++) dot += left[i][k] * right[k][j];
        product[i][j] = dot;
      }
    }
    left[round % SIZE][0] += 1;
    sum ^= bits_of(product[round % SIZE][(round * 7) % SIZE]);
  }
  return sum;
}

/* Bodies that attract each other. */
enum { BODIES = 8 };
static double place[BODIES][3], speed[BODIES][3];

static double square_root(double x) {
  double root;
  __asm__("sqrtsd %1, %0" : "=x"(root) : "x"(x));
  return root;
}

static u64 nbody(u64 n) {
  for (int i = 0; i < BODIES; i++) {
    for (int axis = 0; axis < 3; axis++) {
      place[i][axis] = (double)((i * 37 + axis * 11) % 29) + 0.5;
      speed[i][axis] = 0;
    }
  }
  for (u64 step = 0; step < n; step++) {
    for (int i = 0; i < BODIES; i++) {
      for (int j = 0; j < BODIES; j++) {
        if (i == j) continue;
        double dx = place[j][0] - place[i][0], dy = place[j][1] - place[i][1], dz = place[j][2] - place[i][2];
        double square = dx * dx + dy * dy + dz * dz + 0.01, pull = 0.001 / (square * square_root(square));
        speed[i][0] += dx * pull;
        speed[i][1] += dy * pull;
        speed[i][2] += dz * pull;
      }
    }
    for (int i = 0; i < BODIES; i++) {
      for (int axis = 0; axis < 3; axis++) place[i][axis] += speed[i][axis];
    }
  }
  u64 sum = 0;
  for (int i = 0; i < BODIES; i++) sum ^= bits_of(place[i][0]) + bits_of(speed[i][2]);
  return sum;
}

const Kernel float_kernels[] = {{"matmul", matmul, 110}, {"nbody", nbody, 90000}, {0, 0, 0}};
