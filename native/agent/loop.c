/* One epoll and a list of timers. With nothing to do it blocks for ever: an idle guest must not wake its host. */
#include <limits.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

#define MAX_EVENTS 16

static int epoll_fd = -1;
static struct timer *timers;
static void **released;
static size_t released_count, released_cap;
static bool hurry;

void loop_init(void) { epoll_fd = epoll_create1(EPOLL_CLOEXEC); }

void loop_hurry(void) { hurry = true; }

int64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

uint64_t boot_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_BOOTTIME, &t);
  return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

int watch_add(struct watch *w, int fd, uint32_t events, void (*fn)(struct watch *, uint32_t)) {
  w->fd = fd;
  w->fn = fn;
  w->events = 0;
  return watch_mod(w, events);
}

/* 0 takes it out of the set: ERR and HUP can't be masked, and would be reported again and again. */
int watch_mod(struct watch *w, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = w};
  if (w->fd < 0 || w->events == events) return 0;
  int how = events == 0 ? EPOLL_CTL_DEL : w->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  w->events = events;
  return epoll_ctl(epoll_fd, how, w->fd, &event);
}

void watch_close(struct watch *w) {
  /*
   * Taken out by hand: closing alone does it only once no process holds the file, and a child that has just been started
   * still does for a moment (Linux wakes vfork's parent in exec_mmap, before it closes what is close-on-exec).
   */
  watch_mod(w, 0);
  if (w->fd >= 0) close(w->fd);
  w->fd = -1;
}

void timer_clear(struct timer *t) {
  if (t->at_ms == 0) return;
  for (struct timer **at = &timers; *at != NULL; at = &(*at)->next) {
    if (*at == t) {
      *at = t->next;
      break;
    }
  }
  t->at_ms = 0;
}

void timer_set(struct timer *t, int64_t after_ms, void (*fn)(struct timer *)) {
  timer_clear(t);
  t->at_ms = now_ms() + after_ms + 1; /* +1: never early, and never 0 */
  t->fn = fn;
  struct timer **at = &timers;
  while (*at != NULL && (*at)->at_ms <= t->at_ms) at = &(*at)->next;
  t->next = *at;
  *at = t;
}

void loop_release(void *object) {
  if (released_count == released_cap) {
    size_t cap = released_cap == 0 ? 32 : released_cap * 2;
    void **grown = realloc(released, cap * sizeof(*released));
    if (grown == NULL) return; /* leaked, which is better than freed too early */
    released = grown;
    released_cap = cap;
  }
  released[released_count++] = object;
}

static int wait_ms(void) {
  if (hurry) return 0;
  if (timers == NULL) return -1;
  int64_t left = timers->at_ms - now_ms();
  return left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

void loop_turn(void) {
  struct epoll_event events[MAX_EVENTS];
  int wait = wait_ms();
  hurry = false;
  int count = epoll_wait(epoll_fd, events, MAX_EVENTS, wait);
  for (int i = 0; i < count; i++) {
    struct watch *w = events[i].data.ptr;
    if (w->fd >= 0 && w->events != 0) w->fn(w, events[i].events);
  }
  while (timers != NULL && timers->at_ms <= now_ms()) {
    struct timer *due = timers;
    timer_clear(due);
    due->fn(due);
  }
  while (released_count > 0) free(released[--released_count]);
}
