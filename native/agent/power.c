/* Ending: the host is told, processes end, disks are synced and let go, then the machine resets. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"

#define DEFAULT_GRACE_MS 5000
#define KILL_GRACE_MS 1000

static uint8_t ending; /* NOTIFY_POWEROFF or NOTIFY_REBOOT */
static bool killed;
static struct timer patience;

/* Last mounted first. What is busy stays, read-only. */
static void let_go_of_disks(void) {
  char *text = read_file("/proc/mounts", 256 * 1024, NULL), *lines[256], *rest = text, *line;
  size_t count = 0;
  while (rest != NULL && count < 256 && (line = strsep(&rest, "\n")) != NULL) {
    if (strncmp(line, "/dev/", 5) == 0) lines[count++] = line;
  }
  while (count > 0) {
    char *target = strchr(lines[--count], ' '), *end = target == NULL ? NULL : strchr(target + 1, ' ');
    if (end == NULL) continue;
    *end = 0;
    if (umount2(target + 1, 0) < 0) mount(NULL, target + 1, NULL, MS_REMOUNT | MS_RDONLY, NULL);
  }
  free(text);
}

static void finish(void) {
  const char *word = ending == NOTIFY_POWEROFF ? "poweroff" : "reboot";
  sync();
  let_go_of_disks();
  /* On the console too: the host may have been away when the frame was sent. */
  say("skerry-agent: %s", word);
  notify(ending, NULL);
  session_drain(500);
  /* Always a reset: without ACPI a power-off only halts, and QEMU would run on (it has -no-reboot). */
  reboot(RB_AUTOBOOT);
  for (;;) pause();
}

static void patience_over(struct timer *t) {
  if (killed) finish();
  killed = true;
  kill(-1, SIGKILL);
  timer_set(t, KILL_GRACE_MS, patience_over);
}

void power_child_gone(bool none_left) {
  /* All processes but kernel threads descend from PID 1: without a child there is none. */
  if (ending != 0 && none_left) finish();
}

void power_begin(uint8_t kind, int64_t grace_ms) {
  if (ending != 0) return;
  ending = kind;
  faults_end();
  service_shutdown(grace_ms);
  kill(-1, SIGTERM);
  kill(-1, SIGCONT);
  timer_set(&patience, grace_ms, patience_over);
  /* Shells ignore SIGTERM and take SIGHUP. */
  kill(-1, SIGHUP);
  if (waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD) finish();
}

void op_power(uint32_t id, struct tlvs *values) {
  uint64_t kind = NOTIFY_POWEROFF, grace_ms = DEFAULT_GRACE_MS;
  struct tlv v;
  while (tlv_next(values, &v)) {
    if (v.tag == TAG_ACTION) kind = tlv_number(&v);
    if (v.tag == TAG_GRACE_MS) grace_ms = tlv_number(&v);
  }
  if (kind != NOTIFY_POWEROFF && kind != NOTIFY_REBOOT) {
    reply_fail(id, EINVAL, "power off or reboot");
  } else if (!is_init) {
    reply_fail(id, EOPNOTSUPP, "this agent is not the guest's init");
  } else {
    reply_close(id, NULL);
    session_flush();
    power_begin((uint8_t)kind, grace_ms > 600000 ? 600000 : (int64_t)grace_ms);
  }
}
