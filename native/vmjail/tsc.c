/*
 * The rate of the host's time stamp counter in kHz, for `tsc_early_khz=` on a guest's command line: Linux does not tell it to
 * user space. Measured against CLOCK_MONOTONIC_RAW, which the kernel derives from the same counter, unsteered by NTP.
 */
#include "vmjail.h"

#include <time.h>

#if defined(__x86_64__) || defined(__i386__)
#include <x86intrin.h>

struct sample { uint64_t ticks, ns; };

/* The one of several readings whose two counter reads lie closest together: the least disturbed. */
static struct sample take_sample(void) {
  struct sample best = {0, 0};
  uint64_t narrowest = UINT64_MAX;
  for (int i = 0; i < 16; i++) {
    struct timespec time;
    uint64_t before = __rdtsc();
    clock_gettime(CLOCK_MONOTONIC_RAW, &time);
    uint64_t after = __rdtsc();
    if (after - before >= narrowest) continue;
    narrowest = after - before;
    best.ticks = before + narrowest / 2;
    best.ns = (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
  }
  return best;
}

int print_tsc_khz(void) {
  struct timespec interval = {0, 30000000};
  struct sample first = take_sample();
  nanosleep(&interval, NULL);
  struct sample last = take_sample();
  printf("%llu\n", (unsigned long long)((last.ticks - first.ticks) * 1000000u / (last.ns - first.ns)));
  return 0;
}
#else
int print_tsc_khz(void) {
  fputs("this processor has no time stamp counter\n", stderr);
  return EXIT_SETUP;
}
#endif
