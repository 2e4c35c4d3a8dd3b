/*
 * freeze and thaw: user processes stand still while memory and disks are cut, and in a fork until it has an identity of
 * its own. Kernel and agent go on. cgroup.freeze is part of control groups v2 itself, kernel >= 5.2.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"

#define GROUP "/sys/fs/cgroup/user"
#define FREEZE_MS 2000

static int group = -1;
static bool frozen;

void freezer_init(void) {
  if (mkdir(GROUP, 0755) < 0 && errno != EEXIST) return;
  group = open(GROUP, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int freezer_fd(void) { return group; }

bool freezer_frozen(void) { return frozen; }

static int set(const char *value) {
  int fd = openat(group, "cgroup.freeze", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return errno;
  int error = write(fd, value, 1) < 0 ? errno : 0;
  close(fd);
  return error;
}

/* A task in the kernel may take a while until it stands still; the kernel raises the file then (POLLPRI). */
static bool wait_frozen(void) {
  struct pollfd events = {.fd = openat(group, "cgroup.events", O_RDONLY | O_CLOEXEC), .events = POLLPRI};
  int64_t end = now_ms() + FREEZE_MS;
  bool done = false;
  while (events.fd >= 0 && !done) {
    char text[256];
    ssize_t n = pread(events.fd, text, sizeof(text) - 1, 0);
    text[n > 0 ? n : 0] = 0;
    done = strstr(text, "frozen 1") != NULL;
    int64_t left = end - now_ms();
    if (done || left <= 0) break;
    poll(&events, 1, (int)left);
  }
  if (events.fd >= 0) close(events.fd);
  return done;
}

void op_freeze(uint32_t id, struct tlvs *values) {
  (void)values;
  int error = group < 0 ? EOPNOTSUPP : set("1");
  if (error == 0 && !wait_frozen()) {
    set("0");
    error = ETIMEDOUT;
  }
  if (error != 0) {
    reply_fail(id, error, "user processes do not stand still: %s", strerror(error));
    return;
  }
  frozen = true;
  reply_close(id, NULL);
}

void op_thaw(uint32_t id, struct tlvs *values) {
  (void)values;
  int error = group < 0 ? EOPNOTSUPP : set("0");
  if (error == 0) frozen = false;
  if (error != 0) reply_fail(id, error, "user processes do not go on: %s", strerror(error));
  else reply_close(id, NULL);
}
