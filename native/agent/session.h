/* Between session.c, streams.c, ports.c and main.c only. */
#ifndef SKERRY_SESSION_H
#define SKERRY_SESSION_H

#include "agent.h"

void session_boot(const uint8_t random[16], uint64_t time_ns);
void session_turn_end(void);
void frame_send(uint8_t type, uint32_t stream, const void *body, size_t len);
/* In: at most; out: how much may be put at the result. 0: streams_pump is called when there is room. */
uint8_t *frame_data_room(size_t *room);
void frame_data_commit(uint32_t stream, uint8_t channel, size_t n);

const char *stream_frame(const struct frame *); /* NULL, or what is wrong with it */
void streams_new_session(void);
void streams_drop_all(void);
void streams_pump(void);

/* A socket of the tests, not a port: when its host has gone it is closed and the next one awaited. */
bool ports_is_socket(void);
void ports_host_gone(struct watch *port);

#endif
