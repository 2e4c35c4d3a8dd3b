/*
 * vmjail --lease MS PID:START SOCKET -- JSON...
 * What is done to a running QEMU for a while, and ends even if nobody else is left who knows of it: after MS milliseconds
 * (-1: never) the commands are given to its monitor at SOCKET, as by --qmp. It ends without them when that process has
 * ended. QEMU's own refusals do not count: what is undone already can't be undone again.
 */
#include "vmjail.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* A monitor that is busy, or a host that has no memory for us: it is tried for as long as QEMU lives. */
#define RETRY_MS 500
#define MAX_POLL_MS 3600000

/* Returns whether the process has ended before MS were over; -1: waits for ever. */
static bool ends_within(int pidfd, long long ms) {
  long long until_ms = monotonic_ms() + ms;
  for (;;) {
    long long left_ms = ms < 0 ? MAX_POLL_MS : until_ms - monotonic_ms();
    if (left_ms <= 0) return false;
    struct pollfd polled = {.fd = pidfd, .events = POLLIN};
    if (poll(&polled, 1, (int)(left_ms > MAX_POLL_MS ? MAX_POLL_MS : left_ms)) > 0) return true;
  }
}

/* In a process of its own, as it exits when something fails. */
static bool give(int argc, char **argv) {
  int status = 0;
  pid_t child = fork();
  if (child < 0) return false;
  if (child == 0) exit(hand_over(argc, argv, true));
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return false;
  return WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
}

int lease(int argc, char **argv) {
  char *end, *start;
  long long ms = strtoll(argv[2], &end, 10);
  long pid = strtol(argv[3], &start, 10);
  if (*end != '\0' || *start != ':' || pid <= 1) {
    fprintf(stderr, "vmjail: --lease MS PID:START SOCKET -- JSON...\n");
    return EXIT_USAGE;
  }
  int pidfd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0); /* Linux 5.3 */
  if (pidfd < 0 && errno != ESRCH) {
    fprintf(stderr, "vmjail: pidfd_open: %s\n", strerror(errno));
    return EXIT_SETUP;
  }
  /* Looked at after the descriptor is had: from here on it is this process, or none. */
  if (pidfd < 0 || process_start_time((pid_t)pid, NULL) != strtoull(start + 1, NULL, 10)) return EXIT_SUCCESS;
  if (ends_within(pidfd, ms)) return EXIT_SUCCESS;
  /* As --qmp has them: the socket in argv[2], the commands behind `--`. */
  while (!give(argc - 2, argv + 2))
    if (ends_within(pidfd, RETRY_MS)) return EXIT_SUCCESS;
  return EXIT_SUCCESS;
}
