/* Frames and values, without I/O: what arrives may be cut anywhere or be rubbish. */
#include <stdlib.h>
#include <string.h>

#include "agent.h"

uint32_t get_u32(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

void put_u32(uint8_t *p, uint32_t v) {
  p[0] = (uint8_t)(v >> 24);
  p[1] = (uint8_t)(v >> 16);
  p[2] = (uint8_t)(v >> 8);
  p[3] = (uint8_t)v;
}

uint8_t *decoder_room(struct decoder *d, size_t *room) {
  if (d->pos > 0) {
    memmove(d->buf, d->buf + d->pos, d->len - d->pos);
    d->len -= d->pos;
    d->scanned = d->scanned > d->pos ? d->scanned - d->pos : 0;
    d->pos = 0;
  }
  *room = sizeof(d->buf) - d->len;
  return d->buf + d->len;
}

void decoder_added(struct decoder *d, size_t n) { d->len += n; }

/* The first place in [from, len) where MAGIC starts, or len. */
static size_t find_magic(const struct decoder *d, size_t from) {
  while (from + MAGIC_BYTES <= d->len) {
    const uint8_t *hit = memchr(d->buf + from, MAGIC[0] & 0xff, d->len - MAGIC_BYTES + 1 - from);
    if (hit == NULL) break;
    if (memcmp(hit, MAGIC, MAGIC_BYTES) == 0) return (size_t)(hit - d->buf);
    from = (size_t)(hit - d->buf) + 1;
  }
  return d->len;
}

static bool is_ascii(const uint8_t *p, size_t len) {
  for (size_t i = 0; i < len; i++) {
    if (p[i] & 0x80) return false;
  }
  return true;
}

/*
 * MAGIC is looked for everywhere, also in the middle of a frame: after a kill -9 of the daemon the rest of a half frame
 * never comes, and a new session follows it at once. Senders never let MAGIC arise inside a frame.
 */
enum decoded decoder_next(struct decoder *d, struct frame *f) {
  size_t from = d->scanned >= MAGIC_BYTES - 1 ? d->scanned - (MAGIC_BYTES - 1) : 0;
  if (from < d->pos) from = d->pos;
  while (d->scanned < d->len) {
    size_t at = find_magic(d, from);
    if (at == d->len) {
      d->scanned = d->len;
      break;
    }
    d->pos = at;
    d->synced = false;
    if (d->len - at < MAGIC_BYTES + NONCE_BYTES) return DECODED_NOTHING;
    from = at + MAGIC_BYTES;
    /* A nonce is ASCII: else its sender died in it, and what follows is the MAGIC of the next. */
    if (is_ascii(d->buf + from, NONCE_BYTES)) {
      memcpy(f->nonce, d->buf + from, NONCE_BYTES);
      d->pos = d->scanned = from + NONCE_BYTES;
      d->synced = true;
      return DECODED_SESSION;
    }
    d->pos = from;
  }
  if (!d->synced) {
    if (d->len - d->pos > MAGIC_BYTES - 1) d->pos = d->len - (MAGIC_BYTES - 1);
    return DECODED_NOTHING;
  }
  const uint8_t *p = d->buf + d->pos;
  size_t have = d->len - d->pos;
  if (have < 4) return DECODED_NOTHING;
  uint32_t rest = get_u32(p);
  if (rest < FRAME_OVERHEAD || rest > FRAME_MAX) {
    d->synced = false;
    return DECODED_ERROR;
  }
  if (have < 4 + (size_t)rest) return DECODED_NOTHING;
  /* The closing zero tells a frame from a half one that was filled up by the first bytes of a MAGIC. */
  if (p[4 + rest - 1] != 0) {
    d->synced = false;
    return DECODED_ERROR;
  }
  f->type = p[4];
  f->stream = get_u32(p + 5);
  f->body = p + 9;
  f->len = rest - FRAME_OVERHEAD;
  d->pos += 4 + rest;
  return DECODED_FRAME;
}

bool tlv_next(struct tlvs *t, struct tlv *v) {
  if (t->at == t->end || t->bad) return false;
  if (t->end - t->at < 5) {
    t->bad = true;
    return false;
  }
  size_t len = get_u32(t->at + 1);
  if (len > (size_t)(t->end - t->at) - 5) {
    t->bad = true;
    return false;
  }
  v->tag = t->at[0];
  v->data = t->at + 5;
  v->len = len;
  t->at += 5 + len;
  return true;
}

uint64_t tlv_number(const struct tlv *v) {
  uint64_t n = 0;
  if (v->len > 8) return 0;
  for (size_t i = 0; i < v->len; i++) n = n << 8 | v->data[i];
  return n;
}

char *tlv_string(const struct tlv *v) {
  if (memchr(v->data, 0, v->len) != NULL) return NULL;
  char *s = malloc(v->len + 1);
  if (s == NULL) return NULL;
  memcpy(s, v->data, v->len);
  s[v->len] = 0;
  return s;
}

/* One that was given back, for the next: most answers fit, and the C library would map and unmap memory for each. */
static struct bytes spare;
#define SPARE_MOST 4096

void bytes_add(struct bytes *b, const void *data, size_t len) {
  if (b->bad || len == 0) return;
  if (b->cap == 0) {
    *b = spare;
    spare = (struct bytes){0};
  }
  if (b->len + len > b->cap) {
    size_t cap = b->cap == 0 ? 256 : b->cap;
    while (cap < b->len + len) cap *= 2;
    uint8_t *grown = realloc(b->data, cap);
    if (grown == NULL) {
      b->bad = true;
      return;
    }
    b->data = grown;
    b->cap = cap;
  }
  memcpy(b->data + b->len, data, len);
  b->len += len;
}

void bytes_tlv(struct bytes *b, uint8_t tag, const void *data, size_t len) {
  uint8_t head[5] = {tag};
  put_u32(head + 1, (uint32_t)len);
  bytes_add(b, head, sizeof(head));
  bytes_add(b, data, len);
}

void bytes_string(struct bytes *b, uint8_t tag, const char *s) { bytes_tlv(b, tag, s, strlen(s)); }

void bytes_u32(struct bytes *b, uint8_t tag, uint32_t v) {
  uint8_t be[4];
  put_u32(be, v);
  bytes_tlv(b, tag, be, sizeof(be));
}

void bytes_u64(struct bytes *b, uint8_t tag, uint64_t v) {
  uint8_t be[8];
  put_u32(be, (uint32_t)(v >> 32));
  put_u32(be + 4, (uint32_t)v);
  bytes_tlv(b, tag, be, sizeof(be));
}

void bytes_free(struct bytes *b) {
  if (spare.cap == 0 && b->cap > 0 && b->cap <= SPARE_MOST) spare = (struct bytes){.data = b->data, .cap = b->cap};
  else free(b->data);
  *b = (struct bytes){0};
}
