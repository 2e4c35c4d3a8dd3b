/* Waits for the child's end: keeps its output, passes SIGTERM on. Sleeps in poll(2) otherwise. */
#include "vmjail.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TERM_GRACE_MS 5000
#define UNSERVED_GRACE_MS 2000 /* a child that ends lets go of its servers first */

long long monotonic_ms(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (long long)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void keep_output(struct jail *jail, const char *text, size_t length, long long *written) {
  for (size_t i = 0; i < length; i++) jail->tail[jail->tail_total++ % TAIL_BYTES] = text[i];
  if (jail->log_fd < 0 || *written >= jail->options.log_cap) return;
  long long room = jail->options.log_cap - *written;
  size_t part = (long long)length < room ? length : (size_t)room;
  if (write(jail->log_fd, text, part) < 0) return; /* a full disk does not stop the VM */
  *written += (long long)part;
  if (*written < jail->options.log_cap) return;
  static const char note[] = "\n[vmjail: the log is full, what follows is dropped]\n";
  if (write(jail->log_fd, note, sizeof note - 1) < 0) return;
}

/* Reads what there is; closes our end when nobody can write any more. */
static void read_output(struct jail *jail, long long *written) {
  char text[8192];
  /* Bounded: a child that writes without end must not keep us from its signals. */
  for (int i = 0; i < 16 && jail->output_fd >= 0; i++) {
    ssize_t length = read(jail->output_fd, text, sizeof text);
    if (length > 0) keep_output(jail, text, (size_t)length, written);
    else if (length < 0 && (errno == EAGAIN || errno == EINTR)) return;
    else {
      close(jail->output_fd);
      jail->output_fd = -1;
    }
  }
}

/* Returns whether SIGTERM was among the signals. */
static bool read_signals(struct jail *jail) {
  struct signalfd_siginfo info;
  bool term = false;
  while (read(jail->signal_fd, &info, sizeof info) == sizeof info)
    if (info.ssi_signo == SIGTERM) term = true;
  return term;
}

static bool child_ended(struct jail *jail) {
  siginfo_t info = {0};
  return waitid(P_PID, (id_t)jail->child, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == jail->child;
}

/* Sleeps until something happens or UNTIL_MS has come, and does what there is to do. Returns whether SIGTERM came. */
static bool wait_once(struct jail *jail, long long until_ms, long long *written) {
  struct pollfd polled[3 + MAX_PEERS] = {{.fd = jail->signal_fd, .events = POLLIN},
                                         {.fd = jail->output_fd, .events = POLLIN}};
  int count = 2 + poll_peers(jail, polled + 2);
  long long impatient_ms = peers_until_ms(jail);
  if (impatient_ms >= 0 && (until_ms < 0 || impatient_ms < until_ms)) until_ms = impatient_ms;
  long long left_ms = until_ms < 0 ? -1 : until_ms - monotonic_ms();
  if (until_ms >= 0 && left_ms < 0) left_ms = 0;
  if (poll(polled, (nfds_t)count, (int)left_ms) < 0) return false;
  if (polled[1].revents != 0) read_output(jail, written);
  serve_peers(jail, polled + 2);
  return read_signals(jail);
}

/* It would wait for ever for a directory that nobody serves any more. */
static void end_unserved(struct jail *jail, const char *name, long long *written) {
  char note[128];
  int length = snprintf(note, sizeof note, "\n[vmjail: the server of %s has ended, so the VM is ended, too]\n", name);
  keep_output(jail, note, (size_t)length, written);
  kill(jail->child, SIGKILL);
}

int supervise(struct jail *jail) {
  long long written = 0, kill_at = -1, unserved_at = -1;
  /* The log is of this run: emptied only now, so that a failed start leaves the one that explains the last end. */
  if (jail->log_fd >= 0 && ftruncate(jail->log_fd, 0) < 0) written = jail->options.log_cap;
  while (!child_ended(jail)) {
    const char *ended = kill_at < 0 ? ended_server(jail) : NULL;
    if (ended != NULL && unserved_at < 0) unserved_at = monotonic_ms() + UNSERVED_GRACE_MS;
    if (ended != NULL && monotonic_ms() >= unserved_at) {
      end_unserved(jail, ended, &written);
      kill_at = monotonic_ms() + TERM_GRACE_MS;
    }
    if (wait_once(jail, kill_at < 0 ? unserved_at : kill_at, &written) && kill_at < 0) {
      kill(jail->child, SIGTERM);
      kill_at = monotonic_ms() + TERM_GRACE_MS;
    }
    if (kill_at >= 0 && monotonic_ms() >= kill_at) {
      kill(jail->child, SIGKILL);
      kill_at = monotonic_ms() + TERM_GRACE_MS;
    }
  }
  /* Not yet waited for, so its pid, which is its group's too, can't be anybody else's. */
  kill(-jail->child, SIGKILL);
  end_servers(jail);
  read_output(jail, &written);
  struct rusage usage = {0};
  int status = 0;
  while (wait4(jail->child, &status, 0, &usage) < 0 && errno == EINTR) continue;
  /* The group takes the count with it. */
  jail->ran_out_of_memory = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && killed_for_memory(jail);
  remove_cgroup(jail);
  bool well = WIFEXITED(status) && WEXITSTATUS(status) == 0 && kill_at < 0;
  if (jail->keep_fd >= 0 && well && begin_keeping(jail)) {
    remove_listeners(jail, false);
    while (!wait_once(jail, -1, &written)) continue;
  }
  write_exit(jail, status, usage.ru_maxrss); /* KiB on Linux, getrusage(2) */
  remove_sockets(jail, false);
  remove_state_files(jail);
  return 0;
}
