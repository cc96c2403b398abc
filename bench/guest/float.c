/*
 * Floating point, one number at a time, in SSE2 registers and on the x87 stack. Only operations that IEEE 754 rounds exactly, so that
 * results are the same everywhere.
 */
#include "bench.h"

enum { SIZE = 64 };
static double left[SIZE][SIZE], right[SIZE][SIZE], product[SIZE][SIZE];

static u64 matmul(u32 n) {
  u64 sum = 0;
  for (int i = 0; i < SIZE; i++) {
    for (int j = 0; j < SIZE; j++) {
      left[i][j] = (i * 3 + j) * 0.25;
      right[i][j] = (i - j) * 0.125;
    }
  }
  for (u32 round = 0; round < n; round++) {
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

static u64 nbody(u32 n) {
  for (int i = 0; i < BODIES; i++) {
    for (int axis = 0; axis < 3; axis++) {
      place[i][axis] = (double)((i * 37 + axis * 11) % 29) + 0.5;
      speed[i][axis] = 0;
    }
  }
  for (u32 step = 0; step < n; step++) {
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

/* The Mandelbrot set: products and sums that end with a comparison. */
static u64 mandelbrot(u32 n) {
  u64 sum = 0;
  for (u32 row = 0; row < n; row++) {
    double ci = (double)(i32)(row % 256) / 128.0 - 1.0;
    for (i32 column = 0; column < 64; column++) {
      double cr = (double)column / 24.0 - 2.0, x = 0, y = 0;
      u32 steps = 0;
      while (steps < 100 && x * x + y * y < 4.0) {
        double t = x * x - y * y + cr;
        y = 2.0 * x * y + ci;
        x = t;
        steps++;
      }
      sum = sum * 31 + steps;
    }
  }
  return sum;
}

/* Single precision, and conversions to and from integers: a wave through a line of cells. */
enum { CELLS = 1024 };
static float height[CELLS], velocity[CELLS];

static u64 wave(u32 n) {
  i32 sum = 0;
  for (i32 i = 0; i < CELLS; i++) {
    height[i] = (float)(i % 37) * 0.5f;
    velocity[i] = 0;
  }
  for (u32 step = 0; step < n; step++) {
    for (u32 i = 0; i < CELLS; i++) {
      float pull = height[(i + 1) % CELLS] + height[(i - 1) % CELLS] - 2.0f * height[i];
      velocity[i] = (velocity[i] + pull * 0.1f) * 0.999f;
    }
    for (u32 i = 0; i < CELLS; i++) {
      height[i] += velocity[i];
      sum += (i32)(height[i] * 16.0f);
    }
  }
  return (u64)(u32)sum << 32 | bits_of_single(height[7]);
}

/* Polynomials in 80 bits, as 'long double' gives them. */
static u64 polynomial(u32 n) {
  long double sum = 0;
  for (u32 i = 0; i < n * 100; i++) {
    long double x = (long double)(i32)(i & 1023) * 0.0009765625L, y = 1.0L;
    for (int k = 12; k > 0; k--) y = y * x / (long double)k + 1.0L;
    sum += y;
    if (sum > 1000000.0L) sum -= 1000000.0L;
  }
  return bits_of((double)sum);
}

const Item float_kernels[] = {
    {"matmul", matmul, 1200}, {"nbody", nbody, 850000}, {"mandelbrot", mandelbrot, 30000}, {"wave", wave, 130000}, {0, 0, 0}};
const Item x87_kernels[] = {{"polynomial", polynomial, 68000}, {0, 0, 0}};
