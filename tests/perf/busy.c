/* Keeps a guest busy in four places at once: a kernel module, the kernel itself, this program, and the C library. */
#include <dirent.h>
#include <linux/if_alg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char data[65536];
volatile unsigned long sink;

__attribute__((noinline)) int compare(const void *a, const void *b) { return *(const unsigned *)a - *(const unsigned *)b; }

/* The C library: qsort, and memory it copies. */
__attribute__((noinline)) void in_library(void) {
  static unsigned numbers[20000];
  for (int i = 0; i < 20000; i++) numbers[i] = i * 2654435761u;
  qsort(numbers, 20000, sizeof numbers[0], compare);
  sink += numbers[7];
}

/* This program. */
__attribute__((noinline)) unsigned long innermost(unsigned long n) {
  unsigned long x = n;
  for (int i = 0; i < 2000000; i++) x = x * 6364136223846793005ul + (x >> 33);
  return x;
}
__attribute__((noinline)) void in_program(void) { sink += innermost(sink) + 1; }

/* The kernel: a directory read again and again. */
__attribute__((noinline)) void in_kernel(void) {
  for (int i = 0; i < 60; i++) {
    DIR *directory = opendir("/bin");
    struct dirent *entry;
    while ((entry = readdir(directory))) sink += entry->d_type;
    closedir(directory);
  }
}

/* A module: md4, by a socket. */
__attribute__((noinline)) void in_module(void) {
  struct sockaddr_alg name = {.salg_family = AF_ALG, .salg_type = "hash", .salg_name = "md4"};
  int listening = socket(AF_ALG, SOCK_SEQPACKET, 0);
  if (bind(listening, (struct sockaddr *)&name, sizeof name) != 0) exit(3);
  int hash = accept(listening, 0, 0);
  char digest[16];
  for (int i = 0; i < 30; i++) {
    if (write(hash, data, sizeof data) != sizeof data || read(hash, digest, sizeof digest) != sizeof digest) exit(4);
    sink += digest[0];
  }
  close(hash);
  close(listening);
}

int main(void) {
  for (;;) {
    in_module();
    in_kernel();
    in_program();
    in_library();
  }
}
