/* forward: a TCP connection from inside the guest, each half closed by itself. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent.h"

struct forward {
  struct stream s;
  struct watch socket;
  struct backlog input;
  bool connected, input_ended, write_shut, read_ended, paused;
};

static void forward_end(struct forward *f) {
  watch_close(&f->socket);
  bytes_free(&f->input.held);
  stream_release(&f->s);
}

static void forward_drop(struct stream *s) {
  struct forward *f = container_of(s, struct forward, s);
  struct linger hard = {.l_onoff = 1};
  /* The host has given up: the peer shall see a reset, not an orderly end. */
  if (f->socket.fd >= 0) setsockopt(f->socket.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
  forward_end(f);
}

static void forward_fail(struct forward *f, int error) {
  stream_fail(&f->s, error, "%s", strerror(error));
  forward_end(f);
}

static void settle(struct forward *f) {
  bool waiting = f->input.held.len > f->input.taken;
  if (f->input_ended && !waiting && !f->write_shut) {
    shutdown(f->socket.fd, SHUT_WR);
    f->write_shut = true;
  }
  if (f->write_shut && f->read_ended) {
    stream_close(&f->s, NULL);
    forward_end(f);
    return;
  }
  watch_mod(&f->socket, (f->read_ended || f->paused ? 0 : EPOLLIN) | (waiting ? EPOLLOUT : 0));
}

/* False: it has ended by an error. */
static bool read_some(struct forward *f) {
  while (!f->read_ended) {
    size_t room;
    uint8_t *at = stream_data_room(&f->s, 1, &room);
    f->paused = room == 0;
    if (f->paused) return true;
    ssize_t n = read(f->socket.fd, at, room);
    if (n > 0) {
      stream_data_commit(&f->s, 1, (size_t)n);
      if ((size_t)n < room) return true;
    } else if (n == 0) {
      f->read_ended = true;
      stream_eof(&f->s, 1);
    } else if (errno != EINTR) {
      if (errno == EAGAIN) return true;
      forward_fail(f, errno);
      return false;
    }
  }
  return true;
}

static bool write_some(struct forward *f, const uint8_t *data, size_t len) {
  int done = backlog_write(&f->input, &f->s, f->socket.fd, data, len);
  if (done >= 0) return true;
  forward_fail(f, -done);
  return false;
}

static void connected(struct forward *f) {
  int error = 0;
  socklen_t len = sizeof(error);
  getsockopt(f->socket.fd, SOL_SOCKET, SO_ERROR, &error, &len);
  if (error != 0) {
    forward_fail(f, error);
    return;
  }
  f->connected = true;
  stream_control(&f->s, CONTROL_CONNECTED);
  if (write_some(f, NULL, 0)) settle(f);
}

static void forward_event(struct watch *w, uint32_t events) {
  struct forward *f = container_of(w, struct forward, socket);
  if (!f->connected) {
    connected(f);
    return;
  }
  if ((events & EPOLLOUT) && !write_some(f, NULL, 0)) return;
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !read_some(f)) return;
  if ((events & EPOLLERR) && f->read_ended && f->socket.fd >= 0) {
    forward_fail(f, EPIPE); /* reset by the peer after its end: what we still write goes nowhere */
    return;
  }
  settle(f);
}

static void forward_data(struct stream *s, uint8_t channel, const uint8_t *data, size_t len) {
  struct forward *f = container_of(s, struct forward, s);
  (void)channel;
  if (!f->connected) {
    bytes_add(&f->input.held, data, len);
  } else if (write_some(f, data, len)) {
    settle(f);
  }
}

static void forward_eof(struct stream *s, struct tlvs *values) {
  struct forward *f = container_of(s, struct forward, s);
  (void)values;
  f->input_ended = true;
  if (f->connected) settle(f);
}

static void forward_pump(struct stream *s) {
  struct forward *f = container_of(s, struct forward, s);
  if (f->connected && f->paused && read_some(f)) settle(f);
}

static const struct stream_ops FORWARD_OPS = {
    .data = forward_data, .eof = forward_eof, .pump = forward_pump, .drop = forward_drop};

static bool address_of(const char *host, uint16_t port, struct sockaddr_storage *to, socklen_t *len) {
  struct sockaddr_in *v4 = (struct sockaddr_in *)to;
  struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)to;
  memset(to, 0, sizeof(*to));
  if (host == NULL || strcmp(host, "localhost") == 0) host = "127.0.0.1";
  if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    *len = sizeof(*v4);
    return true;
  }
  if (inet_pton(AF_INET6, host, &v6->sin6_addr) != 1) return false;
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons(port);
  *len = sizeof(*v6);
  return true;
}

void op_forward(uint32_t id, struct tlvs *values) {
  struct forward *f = calloc(1, sizeof(*f));
  struct sockaddr_storage to;
  socklen_t len = 0;
  char *host = NULL;
  uint64_t port = 0;
  struct tlv v;
  int one = 1;
  while (tlv_next(values, &v)) {
    if (v.tag == TAG_HOST && host == NULL) host = tlv_string(&v);
    if (v.tag == TAG_PORT) port = tlv_number(&v);
  }
  if (f == NULL || port == 0 || port > 65535 || !address_of(host, (uint16_t)port, &to, &len)) {
    reply_fail(id, EINVAL, "an IP address and a port are needed");
    free(host);
    free(f);
    return;
  }
  free(host);
  f->socket.fd = -1;
  stream_add(&f->s, id, &FORWARD_OPS);
  int fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    forward_fail(f, errno);
    return;
  }
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  int done = connect(fd, (struct sockaddr *)&to, len);
  int error = errno;
  watch_add(&f->socket, fd, EPOLLOUT, forward_event);
  if (done == 0) connected(f);
  else if (error != EINPROGRESS) forward_fail(f, error);
}
