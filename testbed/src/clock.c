// Put before a program's own libraries: its wall clock is so many seconds off as the first 8 bytes of
// the file in HUSHWIRE_CLOCK say, which may change at any time. Clocks that only rise are left alone.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *seconds;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("HUSHWIRE_CLOCK");
  int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0) _exit(97);
  void *at = mmap(0, 8, PROT_READ, MAP_SHARED, file, 0);
  close(file);
  if (at == MAP_FAILED) _exit(97);
  seconds = at;
}

int clock_gettime(clockid_t which, struct timespec *now) {
  int failed = syscall(SYS_clock_gettime, which, now);
  int is_wall = which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE;
  if (!failed && is_wall && seconds) now->tv_sec += *seconds;
  return failed;
}

int gettimeofday(struct timeval *now, void *zone) {
  (void)zone;
  struct timespec exact;
  if (clock_gettime(CLOCK_REALTIME, &exact)) return -1;
  now->tv_sec = exact.tv_sec;
  now->tv_usec = exact.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *out) {
  struct timespec exact;
  if (clock_gettime(CLOCK_REALTIME, &exact)) return -1;
  if (out) *out = exact.tv_sec;
  return exact.tv_sec;
}
