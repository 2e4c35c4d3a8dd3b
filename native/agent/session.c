/* The port to the host: sessions, what waits to be written, and who gets which frame. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "session.h"

/* DATA is put only up to OUT_DATA; answers go on top; no input is read past OUT_GATE, so answers can't outgrow the rest. */
#define OUT_DATA (256 * 1024)
#define OUT_LOW (64 * 1024)
#define OUT_GATE (300 * 1024)
#define OUT_CAP (768 * 1024)

/*
 * Edge-triggered: with no host connected the port reports HUP for ever (drivers/char/virtio_console.c,
 * port_fops_poll), and a level-triggered wait would spin on it. OUT only while something waits: each write would raise it.
 */
#define PORT_EVENTS (EPOLLIN | EPOLLRDHUP | EPOLLET)

static struct watch port = {.fd = -1};
static struct decoder decoder;
static uint8_t out[OUT_CAP];
static size_t out_head, out_len;
static bool active;  /* a host has said MAGIC and is still there */
static bool gated;   /* input waits until output has drained */
static bool starved; /* a stream waits for room in the output */
static uint64_t started_us;
static char boot_nonce[33];
static struct utsname kernel;

bool session_has_port(void) { return port.fd >= 0; }

static uint8_t *out_tail(size_t want) {
  if (out_head > 0 && out_head + out_len + want > OUT_CAP) {
    memmove(out, out + out_head, out_len);
    out_head = 0;
  }
  return out_head + out_len + want > OUT_CAP ? NULL : out + out_head + out_len;
}

static void session_lost(void) {
  active = false;
  decoder.synced = false;
  out_head = out_len = 0;
  gated = starved = false;
  streams_drop_all();
}

void frame_send(uint8_t type, uint32_t stream, const void *body, size_t len) {
  if (!active) return;
  uint8_t *p = len + FRAME_OVERHEAD > FRAME_MAX ? NULL : out_tail(len + FRAME_OVERHEAD + 4);
  if (p == NULL) {
    session_lost(); /* the host asks without ever reading */
    return;
  }
  put_u32(p, (uint32_t)len + FRAME_OVERHEAD);
  p[4] = type;
  put_u32(p + 5, stream);
  if (len > 0) memcpy(p + 9, body, len);
  p[9 + len] = 0;
  out_len += len + FRAME_OVERHEAD + 4;
}

#define DATA_HEAD 10

uint8_t *frame_data_room(size_t *room) {
  size_t most = active && out_len + DATA_HEAD + 1 < OUT_DATA ? OUT_DATA - out_len - DATA_HEAD - 1 : 0;
  if (most < 4096) {
    starved = active;
    *room = 0;
    return NULL;
  }
  if (most > FRAME_MAX - FRAME_OVERHEAD - 1) most = FRAME_MAX - FRAME_OVERHEAD - 1;
  if (*room > most) *room = most;
  uint8_t *p = out_tail(*room + DATA_HEAD + 1);
  if (p == NULL) *room = 0;
  return p == NULL ? NULL : p + DATA_HEAD;
}

void frame_data_commit(uint32_t stream, uint8_t channel, size_t n) {
  uint8_t *p = out + out_head + out_len;
  put_u32(p, (uint32_t)n + 1 + FRAME_OVERHEAD);
  p[4] = FRAME_DATA;
  put_u32(p + 5, stream);
  p[9] = channel;
  p[DATA_HEAD + n] = 0;
  out_len += DATA_HEAD + n + 1;
}

void notify(uint8_t kind, const struct bytes *values) {
  struct bytes body = {0};
  bytes_add(&body, &kind, 1);
  if (values != NULL) bytes_add(&body, values->data, values->len);
  if (!body.bad) frame_send(FRAME_NOTIFY, 0, body.data, body.len);
  bytes_free(&body);
}

void session_error(const char *why) {
  struct bytes values = {0};
  bytes_string(&values, TAG_ERROR, why);
  notify(NOTIFY_PROTOCOL_ERROR, &values);
  bytes_free(&values);
  session_flush();
  session_lost();
}

static void hello(const uint8_t *nonce) {
  struct bytes body = {0};
  session_lost(); /* the previous session's streams and output */
  streams_new_session();
  memcpy(out, MAGIC, MAGIC_BYTES);
  memcpy(out + MAGIC_BYTES, nonce, NONCE_BYTES);
  out_len = MAGIC_BYTES + NONCE_BYTES;
  active = decoder.synced = true;
  bytes_u32(&body, TAG_PROTOCOL, PROTOCOL_NEWEST);
  bytes_u32(&body, TAG_OLDEST, PROTOCOL_OLDEST);
  bytes_string(&body, TAG_VERSION, AGENT_VERSION);
  bytes_string(&body, TAG_BOOT_NONCE, boot_nonce);
  bytes_string(&body, TAG_KERNEL, kernel.release);
  bytes_u64(&body, TAG_STARTED_US, started_us);
  bytes_u64(&body, TAG_READY_US, boot_us());
  if (freezer_frozen()) bytes_u32(&body, TAG_FROZEN, 1);
  frame_send(FRAME_HELLO, 0, body.data, body.len);
  bytes_free(&body);
  session_flush();
}

static void host_chose(struct tlvs *values) {
  struct tlv v;
  while (tlv_next(values, &v)) {
    if (v.tag != TAG_PROTOCOL) continue;
    uint64_t protocol = tlv_number(&v);
    if (protocol < PROTOCOL_OLDEST || protocol > PROTOCOL_NEWEST) session_error("no such protocol version");
  }
}

static void handle(const struct frame *f) {
  struct tlvs values = {.at = f->body, .end = f->body + f->len};
  if (f->type == FRAME_HELLO && f->stream == 0) {
    host_chose(&values);
    return;
  }
  const char *wrong = stream_frame(f);
  if (wrong != NULL) session_error(wrong);
}

static void decode(void) {
  struct frame f;
  for (;;) {
    switch (decoder_next(&decoder, &f)) {
      case DECODED_NOTHING:
        return;
      case DECODED_SESSION:
        hello(f.nonce);
        break;
      case DECODED_FRAME:
        handle(&f);
        break;
      case DECODED_ERROR:
        session_error("not a frame");
        break;
    }
  }
}

/*
 * "The host has gone" and "it is back" travel in a queue of their own, and may be seen after the first bytes of the next
 * session. So it is believed only when it still holds a second later; a new session's MAGIC ends the old one anyway.
 */
#define GONE_MS 1000

static void gone_over(struct timer *t) {
  struct pollfd state = {.fd = port.fd};
  (void)t;
  if (port.fd >= 0 && poll(&state, 1, 0) > 0 && (state.revents & POLLHUP)) session_lost();
}

static void port_gone(void) {
  static struct timer gone;
  if (ports_is_socket()) {
    session_lost();
    ports_host_gone(&port);
  } else if (gone.at_ms == 0) {
    timer_set(&gone, GONE_MS, gone_over);
  }
}

static void read_port(void) {
  /* A bound, so that a long upload does not keep running commands from being served. */
  for (int turns = 0; turns < 64; turns++) {
    size_t room;
    if (out_len > OUT_GATE) {
      gated = true;
      return;
    }
    uint8_t *at = decoder_room(&decoder, &room);
    ssize_t n = read(port.fd, at, room);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
      port_gone();
      return;
    }
    decoder_added(&decoder, (size_t)n);
    decode();
  }
  gated = true;
  loop_hurry();
}

static void port_event(struct watch *w, uint32_t events) {
  (void)w;
  if (events & EPOLLOUT) session_flush();
  if (port.fd >= 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLRDHUP | EPOLLERR))) read_port();
}

void session_start(int fd) { watch_add(&port, fd, PORT_EVENTS, port_event); }

void session_boot(const uint8_t random[16], uint64_t time_ns) {
  static const char hex[] = "0123456789abcdef";
  started_us = boot_us();
  uname(&kernel);
  for (int i = 0; i < 16; i++) {
    /* The time too: early random bytes of two boots under emulation may be alike. */
    uint8_t byte = (uint8_t)(random[i] ^ (i < 8 ? time_ns >> (8 * i) : 0));
    boot_nonce[2 * i] = hex[byte >> 4];
    boot_nonce[2 * i + 1] = hex[byte & 15];
  }
}

void session_flush(void) {
  while (out_len > 0 && port.fd >= 0) {
    ssize_t n = write(port.fd, out + out_head, out_len);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {
      watch_mod(&port, PORT_EVENTS | EPOLLOUT);
      return;
    }
    if (n <= 0) {
      port_gone();
      return;
    }
    out_head += (size_t)n;
    out_len -= (size_t)n;
  }
  if (out_len == 0) out_head = 0;
  watch_mod(&port, PORT_EVENTS);
}

/* At the end of each turn: everything that the turn's events produced goes out in one write. */
void session_turn_end(void) {
  session_flush();
  while (starved && out_len < OUT_LOW) {
    starved = false;
    streams_pump();
    session_flush();
  }
  if (gated && out_len < OUT_LOW) {
    gated = false;
    if (port.fd >= 0) read_port();
    session_flush();
    if (gated || starved) loop_hurry();
  }
}

void session_drain(int timeout_ms) {
  int64_t end = now_ms() + timeout_ms;
  session_flush();
  while (out_len > 0 && port.fd >= 0 && now_ms() < end) {
    struct pollfd wait = {.fd = port.fd, .events = POLLOUT};
    if (poll(&wait, 1, (int)(end - now_ms())) <= 0 || (wait.revents & POLLHUP)) return;
    session_flush();
  }
}
