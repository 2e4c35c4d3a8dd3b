/*
 * The --keep socket, at which objects are handed out: one request a connection.
 *   'fill NAME\n'  the descriptor (SCM_RIGHTS, unix(7)) of an object that was made empty, as long as the child runs
 *   'take NAME\n'  the descriptor of an object, once all are sealed
 *   'wait\n'       'waiting\n' at once; when they are sealed, 'sealed NAME=BYTES...\n': what each takes
 * A descriptor comes with one byte, ANSWER_OK; a refusal is one of the others. Objects are kept only if somebody waits
 * for them when the child ends: a template that its maker has given up, or did not live to see, leaves nothing.
 *
 * Nothing here waits for a peer: the child's supervision goes on meanwhile.
 */
#include "vmjail.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define REQUEST_TIMEOUT_MS 2000
/* Most of the connections are for those who do not wait. */
#define MAX_WAITERS (MAX_PEERS / 2)

static void drop(struct jail *jail, int index) {
  close(jail->peers[index].fd);
  jail->peers[index] = jail->peers[--jail->peer_count];
}

/* Never blocks: an answer is far shorter than a new socket's buffer. */
static bool say(int fd, const char *text) {
  return send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)strlen(text);
}

static void tell_sealed(struct jail *jail, int fd) {
  static char text[MAX_DESCRIPTORS * 64];
  size_t length = (size_t)snprintf(text, sizeof text, "sealed");
  for (int i = 0; i < jail->options.descriptor_count; i++) {
    struct descriptor *descriptor = &jail->options.descriptors[i];
    struct stat status;
    if (descriptor->mode != 'm' || fstat(descriptor->fd, &status) < 0) continue;
    long long bytes = (long long)status.st_blocks * 512;
    length += (size_t)snprintf(text + length, sizeof text - length, " %s=%lld", descriptor->name, bytes);
  }
  snprintf(text + length, sizeof text - length, "\n");
  say(fd, text);
}

static void hand_out(struct jail *jail, int fd, const char *name, bool fill) {
  char answer = ANSWER_NONE;
  for (int i = 0; i < jail->options.descriptor_count; i++) {
    const struct descriptor *descriptor = &jail->options.descriptors[i];
    if (descriptor->mode != 'm' || strcmp(descriptor->name, name) != 0) continue;
    /* What has a size is the child's memory, and nobody else's to write. */
    if (fill == jail->sealed || (fill && descriptor->size > 0)) answer = ANSWER_BUSY;
    else {
      answer = ANSWER_OK;
      send_descriptor(fd, &answer, 1, descriptor->fd);
      return;
    }
  }
  send_descriptor(fd, &answer, 1, -1);
}

static int waiter_count(const struct jail *jail) {
  int count = 0;
  for (int i = 0; i < jail->peer_count; i++) count += jail->peers[i].waits;
  return count;
}

/* Returns whether the peer stays. */
static bool answer(struct jail *jail, struct peer *peer) {
  if (strncmp(peer->request, "take ", 5) == 0) hand_out(jail, peer->fd, peer->request + 5, false);
  else if (strncmp(peer->request, "fill ", 5) == 0) hand_out(jail, peer->fd, peer->request + 5, true);
  else if (strcmp(peer->request, "wait") == 0) {
    if (jail->sealed) tell_sealed(jail, peer->fd);
    else if (waiter_count(jail) >= MAX_WAITERS) say(peer->fd, "busy\n");
    else return peer->waits = say(peer->fd, "waiting\n");
  }
  return false;
}

/* Reads what has come from the peer. Returns whether it stays. */
static bool hear(struct jail *jail, struct peer *peer) {
  ssize_t length = recv(peer->fd, peer->request + peer->length, sizeof peer->request - 1 - peer->length, MSG_DONTWAIT);
  if (length < 0) return errno == EAGAIN || errno == EINTR;
  if (length == 0 || peer->waits) return false; /* who waits has nothing more to say */
  peer->length += (size_t)length;
  peer->request[peer->length] = '\0';
  char *end = strchr(peer->request, '\n');
  if (end == NULL) return strlen(peer->request) == peer->length && peer->length < sizeof peer->request - 1;
  *end = '\0';
  return answer(jail, peer);
}

int poll_peers(struct jail *jail, struct pollfd *polled) {
  /* With no room for another one those that come wait in the socket. */
  polled[0] = (struct pollfd){.fd = jail->peer_count < MAX_PEERS ? jail->keep_fd : -1, .events = POLLIN};
  for (int i = 0; i < jail->peer_count; i++)
    polled[i + 1] = (struct pollfd){.fd = jail->peers[i].fd, .events = POLLIN};
  return jail->peer_count + 1;
}

/* When somebody has to be given up who asks for nothing; -1: never. */
long long peers_until_ms(const struct jail *jail) {
  long long until_ms = -1;
  for (int i = 0; i < jail->peer_count; i++) {
    const struct peer *peer = &jail->peers[i];
    if (!peer->waits && (until_ms < 0 || peer->until_ms < until_ms)) until_ms = peer->until_ms;
  }
  return until_ms;
}

void serve_peers(struct jail *jail, const struct pollfd *polled) {
  /* Downwards: a peer that is dropped is replaced by the last one, which has been looked at. */
  for (int i = jail->peer_count - 1; i >= 0; i--) {
    struct peer *peer = &jail->peers[i];
    bool stays = polled[i + 1].revents == 0 || hear(jail, peer);
    if (!stays || (!peer->waits && monotonic_ms() >= peer->until_ms)) drop(jail, i);
  }
  if (polled[0].revents == 0) return;
  int fd = accept4(jail->keep_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  jail->peers[jail->peer_count++] = (struct peer){.fd = fd, .until_ms = monotonic_ms() + REQUEST_TIMEOUT_MS};
}

/* The child has ended well: seals what it left, and tells those who wait. Returns whether it is to be kept. */
bool begin_keeping(struct jail *jail) {
  /* Some of them may have gone. */
  for (int i = jail->peer_count - 1; i >= 0; i--)
    if (jail->peers[i].waits && !hear(jail, &jail->peers[i])) drop(jail, i);
  if (waiter_count(jail) == 0 || !seal_objects(jail)) return false;
  jail->sealed = true;
  for (int i = jail->peer_count - 1; i >= 0; i--) {
    if (!jail->peers[i].waits) continue;
    tell_sealed(jail, jail->peers[i].fd);
    drop(jail, i);
  }
  return true;
}
