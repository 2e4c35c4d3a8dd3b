/* The one long-running command: kept alive by its restart policy, its output to the log port in whole lines. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

#define LINE_BYTES 16384
#define STAMP_BYTES 24
#define LOG_BYTES (128 * 1024)
#define BACKOFF_FIRST_MS 100
#define BACKOFF_MOST_MS 10000
#define STEADY_MS 10000 /* it ran this long: the next failure starts the back-off anew */
#define STOP_GRACE_MS 5000

struct output {
  struct watch w;
  uint8_t line[LINE_BYTES];
  size_t len;
};

static struct {
  struct bytes spec; /* as it came: the same again changes nothing */
  struct command command;
  uint32_t restart, restarts;
  pid_t pid;
  int status;
  bool stopping, exited;
  int64_t started_ms, backoff_ms;
  struct timer again, kill;
  struct output out[2];
} service = {.pid = -1, .out = {{.w.fd = -1}, {.w.fd = -1}}};

static struct watch log_port = {.fd = -1};
static uint8_t log_data[LOG_BYTES];
static size_t log_len;
static bool log_full;

static void start(void);
static void output_event(struct watch *w, uint32_t events);

static void log_flush(void) {
  size_t sent = 0;
  while (sent < log_len && log_port.fd >= 0) {
    ssize_t n = write(log_port.fd, log_data + sent, log_len - sent);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      struct pollfd p = {.fd = log_port.fd};
      /* Nobody reads the port at all: the service must not stand still because of that. */
      if (errno != EAGAIN || (poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR)))) sent = log_len;
      break;
    }
    sent += (size_t)n;
  }
  memmove(log_data, log_data + sent, log_len - sent);
  log_len -= sent;
  if (log_full && log_len < LOG_BYTES / 2) {
    log_full = false;
    for (int i = 0; i < 2; i++) watch_mod(&service.out[i].w, EPOLLIN);
  }
}

static void log_event(struct watch *w, uint32_t events) {
  (void)w;
  (void)events;
  log_flush();
}

void service_log(int fd) {
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  /* Edge-triggered, as the agent's port. A plain file can't be waited for, and never needs to be. */
  watch_add(&log_port, fd, EPOLLOUT | EPOLLET, log_event);
  log_port.fd = fd;
  log_flush();
}

static void log_add(const uint8_t *data, size_t len) {
  if (log_len + len > LOG_BYTES) len = LOG_BYTES - log_len;
  memcpy(log_data + log_len, data, len);
  log_len += len;
}

/* When the lines that follow were read, by our clock: for who asks for the last five minutes. Once for all lines of a read,
   so it can't outgrow the room that was made for them. */
static void log_stamp(void) {
  struct timespec now;
  char stamp[STAMP_BYTES];
  clock_gettime(CLOCK_REALTIME, &now);
  long long ms = (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
  int len = snprintf(stamp, sizeof stamp, "\x1e%lld\x1f", ms);
  if (len > 0 && len < (int)sizeof stamp) log_add((const uint8_t *)stamp, (size_t)len);
}

/* Whole lines only, so that stdout and stderr do not cut each other; an endless line goes in parts. */
static void take_lines(struct output *o, bool ended) {
  uint8_t *end = memrchr(o->line, '\n', o->len);
  size_t len = end == NULL ? 0 : (size_t)(end - o->line) + 1;
  if (ended || (len == 0 && o->len == LINE_BYTES)) len = o->len;
  if (len > 0) log_stamp();
  log_add(o->line, len);
  if (ended && len > 0 && o->line[len - 1] != '\n') log_add((const uint8_t *)"\n", 1);
  memmove(o->line, o->line + len, o->len - len);
  o->len -= len;
}

static void output_event(struct watch *w, uint32_t events) {
  struct output *o = container_of(w, struct output, w);
  (void)events;
  while (w->fd >= 0) {
    if (log_len + STAMP_BYTES + LINE_BYTES + 1 > LOG_BYTES) log_flush();
    if (log_len + STAMP_BYTES + LINE_BYTES + 1 > LOG_BYTES) {
      log_full = true;
      watch_mod(w, 0);
      return;
    }
    ssize_t n = read(w->fd, o->line + o->len, LINE_BYTES - o->len);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) break;
    if (n <= 0) {
      take_lines(o, true);
      watch_close(w);
      break;
    }
    o->len += (size_t)n;
    take_lines(o, false);
  }
  log_flush();
}

static void start_again(struct timer *t) {
  (void)t;
  service.restarts++;
  start();
}

static void announce(bool again) {
  struct bytes values = {0};
  if (WIFSIGNALED(service.status)) bytes_u32(&values, TAG_SIGNAL, (uint32_t)WTERMSIG(service.status));
  else bytes_u32(&values, TAG_EXIT_CODE, (uint32_t)WEXITSTATUS(service.status));
  bytes_u32(&values, TAG_RESTARTS, service.restarts);
  bytes_u32(&values, TAG_WILL_RESTART, again);
  notify(NOTIFY_SERVICE_EXIT, &values);
  bytes_free(&values);
}

static void ended(int status) {
  bool failed = !WIFEXITED(status) || WEXITSTATUS(status) != 0;
  bool again = !service.stopping && (service.restart == RESTART_ALWAYS ||
                                     (service.restart == RESTART_ON_FAILURE && failed));
  service.pid = -1;
  service.status = status;
  service.exited = true;
  timer_clear(&service.kill);
  if (!service.stopping) announce(again);
  if (!again) return;
  if (now_ms() - service.started_ms > STEADY_MS) service.backoff_ms = BACKOFF_FIRST_MS;
  timer_set(&service.again, service.backoff_ms, start_again);
  service.backoff_ms = service.backoff_ms * 2 > BACKOFF_MOST_MS ? BACKOFF_MOST_MS : service.backoff_ms * 2;
}

static void start(void) {
  static int null_fd = -1;
  struct spawn sp = {.command = &service.command};
  int pipes[2][2] = {{-1, -1}, {-1, -1}};
  if (null_fd < 0) null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  sp.fds[0] = null_fd;
  for (int i = 0; i < 2; i++) {
    if (pipe2(pipes[i], O_CLOEXEC) < 0) continue;
    sp.fds[i + 1] = pipes[i][1];
    fcntl(pipes[i][0], F_SETFL, O_NONBLOCK);
    /* What an earlier run's children still hold is not waited for any more. */
    if (service.out[i].w.fd >= 0) take_lines(&service.out[i], true);
    watch_close(&service.out[i].w);
    watch_add(&service.out[i].w, pipes[i][0], EPOLLIN, output_event);
  }
  service.started_ms = now_ms();
  service.exited = service.stopping = false;
  spawn(&sp);
  for (int i = 0; i < 2; i++) {
    if (pipes[i][1] >= 0) close(pipes[i][1]);
  }
  service.pid = sp.pid;
  if (sp.error == 0) return;
  const char *parts[] = {"skerry-agent: ", service.command.argv[0], ": ", strerror(sp.error), "\n"};
  log_stamp();
  for (size_t i = 0; i < 5; i++) log_add((const uint8_t *)parts[i], strnlen(parts[i], 1024));
  log_flush();
  ended((sp.error == ENOENT ? 127 : 126) << 8);
}

bool service_reaped(pid_t pid, int status) {
  if (pid != service.pid) return false;
  ended(status);
  return true;
}

static void kill_late(struct timer *t) {
  (void)t;
  if (service.pid > 0) kill(-service.pid, SIGKILL);
}

void service_shutdown(int64_t grace_ms) {
  timer_clear(&service.again);
  service.stopping = true;
  if (service.pid > 0) {
    kill(-service.pid, SIGTERM);
    timer_set(&service.kill, grace_ms, kill_late);
  }
}

static void forget(void) {
  command_free(&service.command);
  bytes_free(&service.spec);
  service.restarts = 0;
  service.exited = false;
  service.backoff_ms = BACKOFF_FIRST_MS;
}

static void set(uint32_t id, struct tlvs *values) {
  struct command command = {0};
  size_t len = (size_t)(values->end - values->at);
  const uint8_t *spec = values->at;
  uint32_t restart = RESTART_ALWAYS;
  struct tlv v;
  if (service.spec.len == len && memcmp(service.spec.data, spec, len) == 0 && !service.stopping) {
    reply_close(id, NULL);
    return;
  }
  while (tlv_next(values, &v)) {
    if (!command_take(&command, &v) && v.tag == TAG_RESTART) restart = (uint32_t)tlv_number(&v);
  }
  if (command.argc == 0 || values->bad) {
    command_free(&command);
    reply_fail(id, EINVAL, "no command to execute");
    return;
  }
  /* The old one is killed at once: a change of the command is a restart that was asked for. */
  timer_clear(&service.again);
  if (service.pid > 0) kill(-service.pid, SIGKILL);
  service.pid = -1;
  forget();
  bytes_add(&service.spec, spec, len);
  service.command = command;
  service.restart = restart;
  start();
  reply_close(id, NULL);
}

static void status(uint32_t id) {
  struct bytes result = {0};
  bool waiting = service.again.at_ms != 0;
  uint8_t state = service.pid > 0 || waiting ? SERVICE_RUNNING : service.exited ? SERVICE_EXITED : SERVICE_NONE;
  bytes_u32(&result, TAG_STATE, state);
  bytes_u32(&result, TAG_RESTARTS, service.restarts);
  if (service.pid > 0) bytes_u32(&result, TAG_PID, (uint32_t)service.pid);
  if (service.exited && WIFSIGNALED(service.status)) {
    bytes_u32(&result, TAG_SIGNAL, (uint32_t)WTERMSIG(service.status));
  } else if (service.exited) {
    bytes_u32(&result, TAG_EXIT_CODE, (uint32_t)WEXITSTATUS(service.status));
  }
  reply_close(id, &result);
  bytes_free(&result);
}

void op_service(uint32_t id, struct tlvs *values) {
  struct tlv action;
  /* The action comes first, what follows is the specification. */
  if (!tlv_next(values, &action) || action.tag != TAG_ACTION) {
    reply_fail(id, EINVAL, "no action for the service");
    return;
  }
  switch (tlv_number(&action)) {
    case SERVICE_SET:
      set(id, values);
      break;
    case SERVICE_STATUS:
      status(id);
      break;
    case SERVICE_STOP:
      service_shutdown(STOP_GRACE_MS);
      bytes_free(&service.spec);
      reply_close(id, NULL);
      break;
    default:
      reply_fail(id, ENOSYS, "no such action for the service");
  }
}
