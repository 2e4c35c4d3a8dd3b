/* The table of streams, their windows, and answers. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "session.h"

static struct stream *streams;
static size_t stream_count;
static uint32_t last_id;

static const struct {
  uint8_t op;
  void (*open)(uint32_t id, struct tlvs *);
} OPS[] = {
    {OP_IDENTIFY, op_identify}, {OP_EXEC, op_exec},     {OP_PUT, op_put},         {OP_GET, op_get},
    {OP_STAT, op_stat},         {OP_LIST, op_list},     {OP_MOUNT, op_mount},     {OP_UNMOUNT, op_unmount},
    {OP_STATS, op_stats},       {OP_FORWARD, op_forward}, {OP_SERVICE, op_service}, {OP_POWER, op_power},
    {OP_FREEZE, op_freeze},     {OP_THAW, op_thaw},     {OP_ROOT, op_root},     {OP_LINK, op_link},
    {OP_FAULT, op_fault},
    {OP_NICS, op_nics},
};

void streams_new_session(void) { last_id = 0; }

/* A stream that is taken out keeps its `next` and its memory to the end of the turn, so walks go on. */
void streams_drop_all(void) {
  for (struct stream *s = streams, *next; s != NULL; s = next) {
    next = s->next;
    if (s->id != 0) s->ops->drop(s);
  }
  streams = NULL;
  stream_count = 0;
}

void streams_pump(void) {
  for (struct stream *s = streams; s != NULL; s = s->next) {
    if (s->id != 0 && s->ops->pump != NULL) s->ops->pump(s);
  }
}

static struct stream *find(uint32_t id) {
  for (struct stream *s = streams; s != NULL; s = s->next) {
    if (s->id == id) return s;
  }
  return NULL;
}

static const char *open_stream(const struct frame *f) {
  if (f->stream <= last_id || f->len < 1) return "a stream's id was used before";
  last_id = f->stream;
  if (stream_count >= MAX_STREAMS) {
    reply_fail(f->stream, EMFILE, "more than %d streams at once", MAX_STREAMS);
    return NULL;
  }
  struct tlvs values = {.at = f->body + 1, .end = f->body + f->len};
  for (size_t i = 0; i < sizeof(OPS) / sizeof(OPS[0]); i++) {
    if (OPS[i].op != f->body[0]) continue;
    OPS[i].open(f->stream, &values);
    return NULL;
  }
  reply_fail(f->stream, ENOSYS, "operation %d is not known to this agent", f->body[0]);
  return NULL;
}

static const char *give_data(struct stream *s, const struct frame *f) {
  if (f->len < 1 || f->body[0] != 0 || s->ops->data == NULL) return "data on a channel that takes none";
  if (f->len - 1 > s->window) return "more data than was granted";
  s->window -= (uint32_t)f->len - 1;
  if (f->len > 1) s->ops->data(s, 0, f->body + 1, f->len - 1);
  return NULL;
}

static const char *give_credit(struct stream *s, const struct frame *f) {
  if (f->len != 5 || f->body[0] > 2) return "not a credit";
  uint32_t n = get_u32(f->body + 1);
  uint32_t *credit = &s->credit[f->body[0]];
  if (n > INT32_MAX || *credit > INT32_MAX - n) return "credit out of range";
  *credit += n;
  if (s->ops->pump != NULL) s->ops->pump(s);
  return NULL;
}

const char *stream_frame(const struct frame *f) {
  if (f->type == FRAME_OPEN) return open_stream(f);
  struct stream *s = f->stream == 0 ? NULL : find(f->stream);
  if (s == NULL) {
    /* It has closed meanwhile: frames that crossed its CLOSE are no error. */
    return f->stream > last_id || f->stream == 0 ? "a frame for no stream" : NULL;
  }
  struct tlvs rest = {.at = f->body + 1, .end = f->body + f->len};
  switch (f->type) {
    case FRAME_DATA:
      return give_data(s, f);
    case FRAME_CREDIT:
      return give_credit(s, f);
    case FRAME_EOF:
      if (f->len < 1 || f->body[0] != 0 || s->ops->eof == NULL) return "an end on a channel that takes none";
      s->ops->eof(s, &rest);
      return NULL;
    case FRAME_CONTROL:
      if (f->len < 1) return "an empty control";
      if (s->ops->control != NULL) s->ops->control(s, f->body[0], &rest);
      return NULL;
    case FRAME_RESET:
      s->ops->drop(s);
      return NULL;
    default:
      return "a type of frame that only a guest sends";
  }
}

void stream_add(struct stream *s, uint32_t id, const struct stream_ops *ops) {
  s->id = id;
  s->ops = ops;
  s->window = WINDOW_BYTES;
  for (int i = 0; i < 3; i++) s->credit[i] = WINDOW_BYTES;
  s->next = streams;
  streams = s;
  stream_count++;
}

void stream_detach(struct stream *s) {
  if (s->id == 0) return;
  s->id = 0;
  for (struct stream **at = &streams; *at != NULL; at = &(*at)->next) {
    if (*at != s) continue;
    *at = s->next;
    stream_count--;
    break;
  }
}

void stream_release(struct stream *s) {
  stream_detach(s);
  loop_release(s);
}

void reply_close(uint32_t id, const struct bytes *result) {
  if (result != NULL && result->bad) {
    reply_fail(id, ENOMEM, "out of memory");
    return;
  }
  frame_send(FRAME_CLOSE, id, result == NULL ? NULL : result->data, result == NULL ? 0 : result->len);
}

static void reply_error(uint32_t id, int error, const char *format, va_list values) {
  char text[512];
  struct bytes result = {0};
  vsnprintf(text, sizeof(text), format, values);
  bytes_u32(&result, TAG_ERRNO, (uint32_t)error);
  bytes_string(&result, TAG_ERROR, text);
  if (!result.bad) frame_send(FRAME_CLOSE, id, result.data, result.len);
  bytes_free(&result);
}

void reply_fail(uint32_t id, int error, const char *format, ...) {
  va_list values;
  va_start(values, format);
  reply_error(id, error, format, values);
  va_end(values);
}

void stream_fail(struct stream *s, int error, const char *format, ...) {
  va_list values;
  va_start(values, format);
  if (s->id != 0) reply_error(s->id, error, format, values);
  va_end(values);
  stream_detach(s);
}

void stream_close(struct stream *s, const struct bytes *result) {
  if (s->id != 0) reply_close(s->id, result);
  stream_detach(s);
}

void stream_grant(struct stream *s, uint32_t n) {
  uint8_t body[5] = {0};
  if (s->id == 0 || n == 0) return;
  put_u32(body + 1, n);
  s->window += n;
  frame_send(FRAME_CREDIT, s->id, body, sizeof(body));
}

void stream_eof(struct stream *s, uint8_t channel) {
  if (s->id != 0) frame_send(FRAME_EOF, s->id, &channel, 1);
}

void stream_control(struct stream *s, uint8_t kind) {
  if (s->id != 0) frame_send(FRAME_CONTROL, s->id, &kind, 1);
}

uint8_t *stream_data_room(struct stream *s, uint8_t channel, size_t *room) {
  *room = s->id == 0 ? 0 : s->credit[channel];
  return *room == 0 ? NULL : frame_data_room(room);
}

void stream_data_commit(struct stream *s, uint8_t channel, size_t n) {
  s->credit[channel] -= (uint32_t)n;
  frame_data_commit(s->id, channel, n);
}

/* Grants come back a quarter of a window at a time: fewer frames, and the sender never runs dry meanwhile. */
static void backlog_taken(struct backlog *b, struct stream *s, size_t n) {
  b->ungranted += (uint32_t)n;
  if (b->ungranted < WINDOW_BYTES / 4) return;
  stream_grant(s, b->ungranted);
  b->ungranted = 0;
}

int backlog_write(struct backlog *b, struct stream *s, int fd, const uint8_t *data, size_t len) {
  bool direct = b->held.len == b->taken;
  if (!direct) bytes_add(&b->held, data, len);
  const uint8_t *from = direct ? data : b->held.data + b->taken;
  size_t left = direct ? len : b->held.len - b->taken;
  int error = b->held.bad ? ENOMEM : 0;
  while (left > 0 && error == 0) {
    ssize_t n = write(fd, from, left);
    if (n < 0) {
      if (errno != EINTR) error = errno;
      continue;
    }
    from += n;
    left -= (size_t)n;
    if (!direct) b->taken += (size_t)n;
    backlog_taken(b, s, (size_t)n);
  }
  if (error != 0 && error != EAGAIN) return -error;
  if (left == 0) {
    bytes_free(&b->held);
    b->taken = 0;
    return 1;
  }
  if (direct) {
    b->held.len = b->taken = 0;
    bytes_add(&b->held, from, left);
  } else if (b->taken > WINDOW_BYTES) {
    memmove(b->held.data, b->held.data + b->taken, left);
    b->held.len = left;
    b->taken = 0;
  }
  return b->held.bad ? -ENOMEM : 0;
}
