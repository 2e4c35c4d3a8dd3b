/*
 * Feeds the decoder with frames that are valid, mutated or random, cut anywhere, and reads every value in them.
 *   frames SEED MILLISECONDS     built with -fsanitize=address,undefined; a fault ends it with a report
 * Checks, too, that a session is found whatever came before, and that unharmed frames come out as they went in.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../agent.h"

static uint64_t state;
static struct decoder decoder;
static uint8_t input[400000];
static size_t input_len;
static unsigned long sessions, frames, errors, values;

/* xorshift64*: the same seed gives the same run. */
static uint32_t rnd(uint32_t below) {
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return (uint32_t)((state * 2685821657736338717u) >> 32) % below;
}

static void add(const void *data, size_t len) {
  if (input_len + len > sizeof(input)) return;
  memcpy(input + input_len, data, len);
  input_len += len;
}

static void add_frame(void) {
  uint8_t head[9], body[70000];
  uint32_t len = rnd(8) == 0 ? rnd(FRAME_MAX - FRAME_OVERHEAD + 1) : rnd(200);
  for (uint32_t i = 0; i < len; i++) body[i] = (uint8_t)(rnd(4) == 0 ? (uint8_t)MAGIC[rnd(MAGIC_BYTES)] : rnd(256));
  /* Half of the bodies are values, of which some lie about their length. */
  if (rnd(2) == 0 && len > 10) {
    for (uint32_t at = 0; at + 5 < len;) {
      uint32_t size = rnd(len - at - 5 + 1);
      put_u32(body + at + 1, rnd(10) == 0 ? rnd(UINT32_MAX) : size);
      at += 5 + size;
    }
  }
  put_u32(head, len + FRAME_OVERHEAD);
  head[4] = (uint8_t)rnd(12);
  put_u32(head + 5, rnd(300));
  add(head, sizeof(head));
  add(body, len);
  add("", 1);
}

static void add_session(void) {
  uint8_t nonce[NONCE_BYTES];
  for (int i = 0; i < NONCE_BYTES; i++) nonce[i] = (uint8_t)rnd(128);
  add(MAGIC, MAGIC_BYTES);
  add(nonce, NONCE_BYTES);
}

static void mutate(void) {
  for (uint32_t i = rnd(6); i > 0 && input_len > 0; i--) {
    uint32_t at = rnd((uint32_t)input_len);
    if (rnd(3) == 0) input_len = at;
    else input[at] = (uint8_t)rnd(256);
  }
}

static void read_values(const struct frame *f) {
  struct tlvs all = {.at = f->body, .end = f->body + f->len};
  struct tlv v;
  while (tlv_next(&all, &v)) {
    char *text = tlv_string(&v);
    values += tlv_number(&v) + (text == NULL ? 0 : strlen(text));
    free(text);
  }
}

static void decode(bool exact, unsigned long wanted) {
  struct frame f;
  unsigned long before = frames;
  bool in_session = !exact;
  for (size_t at = 0; at < input_len;) {
    size_t room, len = rnd(5) == 0 ? 1 + rnd(20) : 1 + rnd(50000);
    uint8_t *to = decoder_room(&decoder, &room);
    if (len > input_len - at) len = input_len - at;
    if (len > room) len = room;
    if (len == 0) abort(); /* a decoder that is full and wants more would never end */
    memcpy(to, input + at, len);
    decoder_added(&decoder, len);
    at += len;
    for (enum decoded d; (d = decoder_next(&decoder, &f)) != DECODED_NOTHING;) {
      if (d == DECODED_SESSION) {
        sessions++;
        if (exact) before = frames;
        in_session = true;
      } else if (d == DECODED_ERROR) {
        errors++;
        if (exact && in_session) abort();
      } else {
        frames++;
        read_values(&f);
      }
    }
  }
  if (exact && frames - before != wanted) abort();
}

int main(int argc, char **argv) {
  state = argc > 1 ? strtoull(argv[1], NULL, 10) * 2 + 1 : 1;
  long limit_ms = argc > 2 ? strtol(argv[2], NULL, 10) : 1000;
  clock_t end = clock() + limit_ms * (CLOCKS_PER_SEC / 1000);
  unsigned long rounds = 0;
  for (; clock() < end; rounds++) {
    input_len = 0;
    if (rnd(2) == 0) add_session();
    for (uint32_t i = rnd(4); i > 0; i--) add_frame();
    mutate();
    decode(false, 0);
    /* Whatever state that left: a new session and its frames get through. Bodies here can't hold a MAGIC. */
    input_len = 0;
    add_session();
    unsigned long count = rnd(5);
    for (unsigned long i = 0; i < count; i++) {
      uint8_t frame[4 + FRAME_OVERHEAD + 3] = {0, 0, 0, FRAME_OVERHEAD + 3, FRAME_DATA, 0, 0, 0, 1, 0, 0xf5, 'S', 0};
      add(frame, sizeof(frame));
    }
    decode(true, count);
  }
  printf("%lu rounds, %lu sessions, %lu frames, %lu errors\n", rounds, sessions, frames, errors);
  return values == 1 ? 2 : 0;
}
