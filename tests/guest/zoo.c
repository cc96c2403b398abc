/*
 * One process with one of each that is looked for: threads, kinds of files, kinds of memory, sockets. It says "ready" in the file it is
 * given and sleeps.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void *sleeper(void *name) {
  prctl(PR_SET_NAME, name);
  for (;;) pause();
}

static int listening(int family, int type, const void *address, socklen_t length) {
  int fd = socket(family, type, 0);
  if (fd < 0) return -1;
  if (bind(fd, address, length) != 0) return -1;
  if (type == SOCK_STREAM) listen(fd, 5);
  return fd;
}

int main(int count, char **arguments) {
  pthread_t thread;
  pthread_create(&thread, 0, sleeper, "zoo-first");
  pthread_create(&thread, 0, sleeper, "zoo \x1b[31m\xff");

  struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(8080), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  listening(AF_INET, SOCK_STREAM, &v4, sizeof v4);
  int client = socket(AF_INET, SOCK_STREAM, 0);
  connect(client, (void *)&v4, sizeof v4);
  v4.sin_port = htons(5353);
  listening(AF_INET, SOCK_DGRAM, &v4, sizeof v4);
  struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(8081), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  listening(AF_INET6, SOCK_STREAM, &v6, sizeof v6);

  struct sockaddr_un path = {.sun_family = AF_UNIX, .sun_path = "/run/zoo.socket"};
  listening(AF_UNIX, SOCK_STREAM, &path, sizeof path);
  struct sockaddr_un abstract = {.sun_family = AF_UNIX, .sun_path = "\0zoo"};
  listening(AF_UNIX, SOCK_DGRAM, &abstract, sizeof(sa_family_t) + 4);

  int ends[2];
  if (pipe(ends) != 0) return 1;
  if (eventfd(7, 0) < 0 || epoll_create1(0) < 0) return 1;
  int memory = memfd_create("zoo memory", 0);
  if (ftruncate(memory, 8192) != 0) return 1;
  int gone = open("/run/gone", O_CREAT | O_RDWR | O_APPEND, 0600);
  if (write(gone, "four", 4) != 4) return 1;
  unlink("/run/gone");
  dup2(memory, 200);

  mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
  mmap(0, 4096, PROT_READ, MAP_PRIVATE, gone, 0);
  mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  void *named = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  prctl(0x53564d41 /* PR_SET_VMA */, 0, named, 4096, "zoo name");
  mmap(0, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  /* Areas enough for a tree of several levels: each its own because its neighbour is protected otherwise. */
  for (int i = 0; i < 600; i++)
    mmap(0, 4096, i & 1 ? PROT_READ : PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

  int ready = open(arguments[1], O_CREAT | O_WRONLY, 0644);
  if (write(ready, "ready\n", 6) != 6) return 1;
  for (;;) pause();
}
