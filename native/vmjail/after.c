/*
 * vmjail --after MS -- COMMAND...
 * Becomes COMMAND when MS milliseconds are over, time asleep included, whoever else is alive by then; ended before, it does
 * nothing.
 */
#include "vmjail.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int after(int argc, char **argv) {
  char *end;
  long long ms = strtoll(argv[2], &end, 10);
  if (*end != '\0' || ms < 0 || argc < 5 || strcmp(argv[3], "--") != 0) {
    fprintf(stderr, "vmjail: --after MS -- COMMAND...\n");
    return EXIT_USAGE;
  }
  struct timespec until;
  if (clock_gettime(CLOCK_BOOTTIME, &until) < 0) return EXIT_SETUP;
  until.tv_sec += ms / 1000;
  until.tv_nsec += ms % 1000 * 1000000;
  if (until.tv_nsec >= 1000000000) {
    until.tv_sec += 1;
    until.tv_nsec -= 1000000000;
  }
  while (clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &until, NULL) == EINTR) continue;
  execvp(argv[4], argv + 4);
  fprintf(stderr, "vmjail: %s: %s\n", argv[4], strerror(errno));
  return EXIT_SETUP;
}
