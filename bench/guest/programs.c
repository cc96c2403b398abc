/*
 * Runs the real programs. The file "programs" says which: records of words that end with a zero byte, a record ending with an empty
 * word. The first record is their environment; then for each program its group, its name, and its command. Standard output is read and
 * makes the checksum.
 */
#include "linux.h"

enum { LIST_SIZE = 65536, WORDS = 128, MOST = 64, CHUNK = 65536, ENOENT = 2 };
static char list[LIST_SIZE];
static char *environment[WORDS];
static struct {
  char *group, *name, *command[WORDS];
} programs[MOST];
static u32 count;

static char *next_record(char *at, char **words) {
  u32 used = 0;
  while (*at) {
    if (used < WORDS - 1) words[used++] = at;
    while (*at++);
  }
  words[used] = 0;
  return at + 1;
}

void load_programs(void) {
  i64 file = call(SYS_open, (i64) "programs", 0, 0, 0);
  if (file < 0) return;
  i64 size = call(SYS_read, file, (i64)list, LIST_SIZE - 2, 0);
  call(SYS_close, file, 0, 0, 0);
  if (size <= 0) return;
  char *at = next_record(list, environment), *words[WORDS];
  while (at < list + size && count < MOST) {
    at = next_record(at, words);
    programs[count].group = words[0];
    programs[count].name = words[1];
    for (u32 i = 0; i < WORDS - 2; i++) {
      programs[count].command[i] = words[i + 2];
      if (!words[i + 2]) break;
    }
    count++;
  }
}

/* FNV-1a over what the program prints (draft-eastlake-fnv). */
static u64 output_of(char **command) {
  static u8 chunk[CHUNK];
  int pipe[2];
  i64 result = call(SYS_pipe2, (i64)pipe, 0, 0, 0);
  if (result < 0) fail("pipe2", result);
  i64 child = call(SYS_fork, 0, 0, 0, 0);
  if (child < 0) fail("fork", child);
  if (child == 0) {
    call(SYS_dup2, call(SYS_open, (i64) "/dev/null", 0, 0, 0), 0, 0, 0);
    call(SYS_dup2, pipe[1], 1, 0, 0);
    call(SYS_close, pipe[0], 0, 0, 0);
    call(SYS_close, pipe[1], 0, 0, 0);
    call(SYS_execve, (i64)command[0], (i64)command, (i64)environment, 0);
    call(SYS_exit, 127, 0, 0, 0);
  }
  call(SYS_close, pipe[1], 0, 0, 0);
  u64 hash = 0xcbf29ce484222325;
  while ((result = call(SYS_read, pipe[0], (i64)chunk, CHUNK, 0)) > 0) {
    for (i64 i = 0; i < result; i++) hash = (hash ^ chunk[i]) * 0x100000001b3;
  }
  call(SYS_close, pipe[0], 0, 0, 0);
  int status = 0;
  call(SYS_wait4, child, (i64)&status, 0, 0);
  if (status != 0) fail(command[0], status);
  return hash;
}

void run_programs(u32 rounds) {
  for (u32 i = 0; i < count; i++) {
    if (!wanted("programs", programs[i].name)) continue;
    for (u32 round = 0; round < rounds; round++) {
      begin("programs", programs[i].group, programs[i].name);
      end("programs", programs[i].group, programs[i].name, output_of(programs[i].command));
    }
  }
}
