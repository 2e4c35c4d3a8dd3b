/*
 * The guest agent: PID 1 of micro images, and the other end of the host's `skerry.agent` port.
 *   agent                  in a guest: as init, or started by one
 *   agent --socket PATH    on any Linux, listening on a unix socket instead of the port: for tests
 */
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "session.h"

bool is_init;
static struct watch signals;

void say(const char *format, ...) {
  char text[512];
  va_list values;
  va_start(values, format);
  int n = vsnprintf(text, sizeof(text) - 1, format, values);
  va_end(values);
  if (n < 0) return;
  if ((size_t)n > sizeof(text) - 2) n = sizeof(text) - 2;
  text[n] = '\n';
  /* An init's own standard error may be older than the console: hvc0 comes up beside us. */
  int console = is_init ? open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC) : -1;
  /* One write, so that lines of the kernel and of the agent do not mix. */
  if (write(console < 0 ? STDERR_FILENO : console, text, (size_t)n + 1) < 0 && console < 0) return;
  if (console >= 0) close(console);
}

static void reap(void) {
  int status;
  pid_t pid;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    if (!exec_reaped(pid, status) && !service_reaped(pid, status)) fault_reaped(pid);
  }
  power_child_gone(pid < 0 && errno == ECHILD);
}

static void on_signal(struct watch *w, uint32_t events) {
  struct signalfd_siginfo info;
  (void)events;
  /* One at a time: the wait is level-triggered and comes back for the next. */
  if (read(w->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
    switch (info.ssi_signo) {
      case SIGCHLD:
        reap();
        break;
      /* As busybox's halt, poweroff and reboot tell an init, and Ctrl-Alt-Del (kernel: SIGINT to PID 1). */
      case SIGUSR1:
      case SIGUSR2:
        if (is_init) power_begin(NOTIFY_POWEROFF, 5000);
        break;
      case SIGINT:
      case SIGTERM:
        if (is_init) power_begin(NOTIFY_REBOOT, 5000);
        else _exit(0);
        break;
      default:
        break;
    }
  }
}

static void take_signals(void) {
  sigset_t all, wanted;
  /* Blocked, not ignored: a child needs one call to get a clean state, and SIGPIPE becomes EPIPE. */
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGCHLD);
  sigaddset(&wanted, SIGUSR1);
  sigaddset(&wanted, SIGUSR2);
  sigaddset(&wanted, SIGINT);
  sigaddset(&wanted, SIGTERM);
  watch_add(&signals, signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK), EPOLLIN, on_signal);
}

static void fill_standard_descriptors(void) {
  for (;;) {
    int fd = open("/dev/null", O_RDWR);
    if (fd < 0) fd = open("/", O_RDONLY);
    if (fd < 0 || fd > 2) {
      if (fd >= 0) close(fd);
      return;
    }
  }
}

int main(int argc, char **argv) {
  const char *socket_path = NULL;
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--socket") == 0 && i + 1 < argc) socket_path = argv[++i];
  }
  is_init = getpid() == 1 && socket_path == NULL;
  /* First of all: the loop's own descriptors must not be 0 to 2, which are closed if no console was there in time. */
  if (is_init) init_mounts();
  fill_standard_descriptors();
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  session_boot((const uint8_t *)getauxval(AT_RANDOM), (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
  loop_init();
  take_signals();
  if (socket_path != NULL) {
    ports_socket(socket_path);
  } else {
    if (is_init) init_modules();
    /* The port is opened before the rest is mounted: the host's bytes travel meanwhile. */
    ports_start();
    if (is_init) init_root();
  }
  for (;;) {
    loop_turn();
    session_turn_end();
  }
}
