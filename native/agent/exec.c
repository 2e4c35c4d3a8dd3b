/* exec: a command in a session of its own, its three channels, and its end. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "agent.h"

/*
 * How long output may follow the exit of the command itself, from children that still hold the pipe. What the command
 * wrote is complete without it; a daemon it left behind must not keep the stream open for ever.
 */
#define LINGER_MS 200
#define KILL_AFTER_MS 2000

struct exec {
  struct stream s; /* first: released through it */
  struct watch in, out[2];
  struct backlog input;
  struct timer deadline, end;
  struct exec *next;
  pid_t pid;
  int status;
  bool tty, reaped, closed, timed_out, input_ended, paused[2];
};

static struct exec *execs;
static int null_fd = -1;

/* Reads one output while there is something and room. True when more may come, or waits for credit. */
static bool drain(struct exec *e, int i) {
  struct watch *w = &e->out[i];
  while (w->fd >= 0) {
    size_t room;
    uint8_t *at = stream_data_room(&e->s, (uint8_t)(i + 1), &room);
    if (room == 0) {
      if (!e->paused[i]) watch_mod(w, 0);
      e->paused[i] = true;
      return true;
    }
    ssize_t n = read(w->fd, at, room);
    if (n > 0) {
      stream_data_commit(&e->s, (uint8_t)(i + 1), (size_t)n);
      if ((size_t)n < room && !e->reaped) return true;
      continue;
    }
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return true;
    /* End; EIO is a terminal's when its last user has gone. */
    if (e->tty && e->in.fd >= 0) watch_close(&e->in);
    watch_close(w);
  }
  return false;
}

static void finish(struct exec *e);

static void linger_over(struct timer *t) {
  struct exec *e = container_of(t, struct exec, end);
  for (int i = 0; i < 2; i++) {
    if (e->out[i].fd >= 0 && !e->paused[i]) watch_close(&e->out[i]);
  }
  finish(e);
}

static void result_of(const struct exec *e, struct bytes *result) {
  if (WIFSIGNALED(e->status)) bytes_u32(result, TAG_SIGNAL, (uint32_t)WTERMSIG(e->status));
  else bytes_u32(result, TAG_EXIT_CODE, (uint32_t)WEXITSTATUS(e->status));
}

static void release(struct exec *e) {
  timer_clear(&e->deadline);
  timer_clear(&e->end);
  watch_close(&e->in);
  watch_close(&e->out[0]);
  watch_close(&e->out[1]);
  bytes_free(&e->input.held);
  for (struct exec **at = &execs; *at != NULL; at = &(*at)->next) {
    if (*at != e) continue;
    *at = e->next;
    break;
  }
  stream_release(&e->s);
}

/* CLOSE comes when the command has ended and all that it wrote has been sent. */
static void finish(struct exec *e) {
  struct bytes result = {0};
  if (!e->reaped) return;
  if (e->s.id != 0) {
    bool open = drain(e, 0);
    open = drain(e, 1) || open;
    if (open) {
      if (e->end.at_ms == 0 && !e->paused[0] && !e->paused[1]) timer_set(&e->end, LINGER_MS, linger_over);
      return;
    }
    if (e->timed_out) {
      stream_fail(&e->s, ETIMEDOUT, "the command was stopped at its time limit");
    } else {
      result_of(e, &result);
      stream_close(&e->s, &result);
      bytes_free(&result);
    }
  }
  release(e);
}

static void out_ready(struct exec *e, int i) {
  drain(e, i);
  if (e->reaped) finish(e);
}

static void stdout_event(struct watch *w, uint32_t events) {
  (void)events;
  out_ready(container_of(w, struct exec, out[0]), 0);
}

static void stderr_event(struct watch *w, uint32_t events) {
  (void)events;
  out_ready(container_of(w, struct exec, out[1]), 1);
}

static void close_input(struct exec *e) {
  if (e->in.fd < 0) return;
  /* Of a socket there is a second descriptor, for its output; a pipe has no halves, and does not mind. */
  shutdown(e->in.fd, SHUT_WR);
  if (e->tty) {
    /* A terminal's end of file is a character that its line discipline turns into one. */
    if (write(e->in.fd, "\004", 1) < 0) return;
    return;
  }
  watch_close(&e->in);
}

static void input_more(struct exec *e, const uint8_t *data, size_t len) {
  if (e->in.fd < 0) {
    stream_grant(&e->s, (uint32_t)len); /* nobody reads it: as with a closed pipe, it goes nowhere */
    return;
  }
  int done = backlog_write(&e->input, &e->s, e->in.fd, data, len);
  if (done < 0) {
    stream_grant(&e->s, (uint32_t)len);
    bytes_free(&e->input.held);
    watch_close(&e->in);
  } else if (done == 0) {
    watch_mod(&e->in, EPOLLOUT);
  } else {
    watch_mod(&e->in, 0);
    if (e->input_ended) close_input(e);
  }
}

static void in_event(struct watch *w, uint32_t events) {
  struct exec *e = container_of(w, struct exec, in);
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
    watch_close(w); /* the reader has closed its end */
    return;
  }
  input_more(e, NULL, 0);
}

static void exec_data(struct stream *s, uint8_t channel, const uint8_t *data, size_t len) {
  (void)channel;
  input_more(container_of(s, struct exec, s), data, len);
}

static void exec_eof(struct stream *s, struct tlvs *values) {
  struct exec *e = container_of(s, struct exec, s);
  (void)values;
  e->input_ended = true;
  if (e->input.held.len == e->input.taken) close_input(e);
}

static void resize(struct exec *e, uint32_t cols, uint32_t rows) {
  struct winsize size = {.ws_col = (unsigned short)cols, .ws_row = (unsigned short)rows};
  if (e->tty && e->out[0].fd >= 0) ioctl(e->out[0].fd, TIOCSWINSZ, &size);
}

static void exec_control(struct stream *s, uint8_t kind, struct tlvs *values) {
  struct exec *e = container_of(s, struct exec, s);
  uint32_t cols = 80, rows = 24, signal = 0;
  struct tlv v;
  while (tlv_next(values, &v)) {
    if (v.tag == TAG_COLS) cols = (uint32_t)tlv_number(&v);
    if (v.tag == TAG_ROWS) rows = (uint32_t)tlv_number(&v);
    if (v.tag == TAG_SIGNAL) signal = (uint32_t)tlv_number(&v);
  }
  if (kind == CONTROL_RESIZE) resize(e, cols, rows);
  if (kind == CONTROL_SIGNAL && signal > 0 && signal < 65 && !e->reaped) kill(-e->pid, (int)signal);
}

static void exec_pump(struct stream *s) {
  struct exec *e = container_of(s, struct exec, s);
  for (int i = 0; i < 2; i++) {
    if (!e->paused[i] || e->out[i].fd < 0 || s->credit[i + 1] == 0) continue;
    e->paused[i] = false;
    watch_mod(&e->out[i], EPOLLIN);
    drain(e, i);
  }
  if (e->reaped) finish(e);
}

static void kill_late(struct timer *t) {
  struct exec *e = container_of(t, struct exec, end);
  if (!e->reaped) kill(-e->pid, SIGKILL);
}

/* Hang up, as when a terminal's line drops; whoever ignores that is killed. */
static void exec_drop(struct stream *s) {
  struct exec *e = container_of(s, struct exec, s);
  stream_detach(s);
  timer_clear(&e->deadline);
  watch_close(&e->in);
  watch_close(&e->out[0]);
  watch_close(&e->out[1]);
  if (e->reaped) {
    release(e);
    return;
  }
  kill(-e->pid, SIGHUP);
  kill(-e->pid, SIGCONT); /* a stopped one would not see it */
  timer_set(&e->end, KILL_AFTER_MS, kill_late);
}

static void deadline_over(struct timer *t) {
  struct exec *e = container_of(t, struct exec, deadline);
  if (e->reaped) return;
  e->timed_out = true;
  kill(-e->pid, SIGTERM);
  kill(-e->pid, SIGCONT);
  timer_set(&e->end, KILL_AFTER_MS, kill_late);
}

static const struct stream_ops EXEC_OPS = {
    .data = exec_data, .eof = exec_eof, .control = exec_control, .pump = exec_pump, .drop = exec_drop};

bool exec_reaped(pid_t pid, int status) {
  for (struct exec *e = execs; e != NULL; e = e->next) {
    if (e->pid != pid || e->reaped) continue;
    e->reaped = true;
    e->status = status;
    timer_clear(&e->deadline);
    timer_clear(&e->end);
    finish(e);
    return true;
  }
  return false;
}

/* One socket for input and output. Both ends have a name (unix(7), autobind): what inetd(8) starts asks who its peer is. */
static int make_socket(int ours[3], int theirs[3]) {
  const struct sockaddr name = {.sa_family = AF_UNIX};
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) return errno;
  ours[0] = pair[0];
  theirs[0] = theirs[1] = pair[1];
  fcntl(pair[0], F_SETFL, O_NONBLOCK);
  ours[1] = fcntl(pair[0], F_DUPFD_CLOEXEC, 3);
  for (int i = 0; i < 2; i++) {
    if (bind(pair[i], &name, sizeof(name.sa_family)) < 0) return errno;
  }
  return ours[1] < 0 ? errno : 0;
}

/* Pipes, a socket or a terminal: ours in `ours` (in, out, err), the command's in `theirs`. */
static int make_stdio(bool tty, bool input, bool socket, int ours[3], int theirs[3]) {
  int pair[2];
  if (tty) {
    int unlock = 0;
    ours[1] = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (ours[1] < 0 || ioctl(ours[1], TIOCSPTLCK, &unlock) < 0) return errno;
    /* By descriptor, so it works where /dev/pts is not ours (Linux 4.13, ioctl_tty(2)). */
    theirs[0] = theirs[1] = theirs[2] = ioctl(ours[1], TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    ours[0] = fcntl(ours[1], F_DUPFD_CLOEXEC, 3);
    return theirs[0] < 0 || ours[0] < 0 ? errno : 0;
  }
  if (null_fd < 0) null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  theirs[0] = null_fd;
  if (socket) {
    int error = make_socket(ours, theirs);
    if (error != 0) return error;
  } else if (input) {
    if (pipe2(pair, O_CLOEXEC) < 0) return errno;
    theirs[0] = pair[0];
    ours[0] = pair[1];
    fcntl(ours[0], F_SETFL, O_NONBLOCK);
  }
  for (int i = socket ? 2 : 1; i < 3; i++) {
    if (pipe2(pair, O_CLOEXEC) < 0) return errno;
    ours[i] = pair[0];
    theirs[i] = pair[1];
    fcntl(ours[i], F_SETFL, O_NONBLOCK);
  }
  return 0;
}

static void close_all(int fds[3]) {
  for (int i = 0; i < 3; i++) {
    if (fds[i] < 0 || fds[i] == null_fd) continue;
    close(fds[i]);
    for (int j = i + 1; j < 3; j++) fds[j] = fds[j] == fds[i] ? -1 : fds[j];
    fds[i] = -1;
  }
}

static void report(struct exec *e, const struct spawn *sp) {
  const struct command *c = sp->command;
  if (strcmp(sp->step, "exec") != 0) {
    const char *what = strcmp(sp->step, "cwd") == 0 ? c->cwd : strcmp(sp->step, "user") == 0 ? c->user : c->argv[0];
    stream_fail(&e->s, sp->error, "%s %s: %s", sp->step, what == NULL ? "" : what, strerror(sp->error));
    return;
  }
  /* As a shell says it: 127 not found, 126 found and not executable; the reason on stderr. */
  size_t room, len = 0;
  char text[512];
  const char *why = sp->error == ENOENT ? (strchr(c->argv[0], '/') ? "no such file, or its interpreter is missing"
                                                                    : "command not found")
                                        : strerror(sp->error);
  const char *parts[] = {c->argv[0], ": ", why, "\n"};
  for (size_t i = 0; i < 4; i++) {
    size_t n = strnlen(parts[i], 400 - len);
    memcpy(text + len, parts[i], n);
    len += n;
  }
  uint8_t channel = e->tty ? 1 : 2;
  uint8_t *at = stream_data_room(&e->s, channel, &room);
  if (room >= len) {
    memcpy(at, text, len);
    stream_data_commit(&e->s, channel, len);
  }
  struct bytes result = {0};
  bytes_u32(&result, TAG_EXIT_CODE, sp->error == ENOENT ? 127 : 126);
  stream_close(&e->s, &result);
  bytes_free(&result);
}

static void start(struct exec *e, const struct command *c, bool input, bool socket, uint32_t cols, uint32_t rows) {
  int ours[3] = {-1, -1, -1}, theirs[3] = {-1, -1, -1};
  struct spawn sp = {.command = c, .tty = e->tty};
  int error = make_stdio(e->tty, input, socket, ours, theirs);
  if (error != 0) {
    stream_fail(&e->s, error, "no pipes or terminal: %s", strerror(error));
  } else {
    e->out[0].fd = ours[1];
    resize(e, cols, rows);
    e->out[0].fd = -1;
    memcpy(sp.fds, theirs, sizeof(theirs));
    if (spawn(&sp) != 0) report(e, &sp);
  }
  close_all(theirs);
  if (error != 0 || sp.error != 0) {
    close_all(ours);
    release(e);
    return;
  }
  e->pid = sp.pid;
  e->next = execs;
  execs = e;
  if (ours[0] >= 0) watch_add(&e->in, ours[0], 0, in_event);
  watch_add(&e->out[0], ours[1], EPOLLIN, stdout_event);
  if (ours[2] >= 0) watch_add(&e->out[1], ours[2], EPOLLIN, stderr_event);
}

void op_exec(uint32_t id, struct tlvs *values) {
  struct command c = {0};
  struct exec *e = calloc(1, sizeof(*e));
  uint32_t cols = 0, rows = 0;
  uint64_t timeout_ms = 0;
  bool input = false, socket = false;
  struct tlv v;
  while (tlv_next(values, &v)) {
    if (command_take(&c, &v)) continue;
    if (v.tag == TAG_COLS) cols = (uint32_t)tlv_number(&v);
    if (v.tag == TAG_ROWS) rows = (uint32_t)tlv_number(&v);
    if (v.tag == TAG_TIMEOUT_MS) timeout_ms = tlv_number(&v);
    if (v.tag == TAG_STDIN) input = true;
    if (v.tag == TAG_SOCKET) socket = true;
  }
  if (e == NULL || c.argc == 0 || values->bad) {
    free(e);
    reply_fail(id, EINVAL, "no command to execute");
  } else {
    e->in.fd = e->out[0].fd = e->out[1].fd = -1;
    e->tty = cols > 0;
    stream_add(&e->s, id, &EXEC_OPS);
    if (timeout_ms > 0 && timeout_ms < INT32_MAX) timer_set(&e->deadline, (int64_t)timeout_ms, deadline_over);
    start(e, &c, input, socket, cols, rows);
  }
  command_free(&c);
}
