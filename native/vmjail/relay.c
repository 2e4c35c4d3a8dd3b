/*
 * vmjail --relay FD SOCKET
 * A NIC that comes to a bridge while its machine runs: its device has a socket behind it, SOCKET, where QEMU listens
 * (`-netdev stream`: a length of 4 bytes, big-endian, then the frame). Frames go between that and a tap, FD, which was made with a
 * header for offloads; none is asked for, so it is always zero (Documentation/networking/tuntap.rst). Ends when either does.
 */
#include "vmjail.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define HEADER_BYTES 10 /* struct virtio_net_hdr */
#define LENGTH_BYTES 4
#define MAX_FRAME_BYTES 65550
#define NOBODY 65534

/* From the guest: `filled` bytes, of which the last frame may be there in part. To the guest: [sent, filled). */
struct buffer {
  size_t sent, filled;
  unsigned char bytes[256 * 1024];
};

static struct buffer from_guest, to_guest;

static int connect_to(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) return -1;
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  return fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0 ? fd : -1;
}

/* A frame that the tap does not take (it is down, its queue is full) is lost, as on any wire. */
static bool take_from_guest(int peer, int tap) {
  static unsigned char none[HEADER_BYTES];
  struct buffer *b = &from_guest;
  ssize_t got = read(peer, b->bytes + b->filled, sizeof b->bytes - b->filled);
  if (got <= 0) return got < 0 && (errno == EAGAIN || errno == EINTR);
  b->filled += (size_t)got;
  size_t at = 0;
  while (b->filled - at >= LENGTH_BYTES) {
    uint32_t length;
    memcpy(&length, b->bytes + at, LENGTH_BYTES);
    length = ntohl(length);
    if (length > MAX_FRAME_BYTES) return false;
    if (b->filled - at < LENGTH_BYTES + length) break;
    struct iovec frame[] = {{none, HEADER_BYTES}, {b->bytes + at + LENGTH_BYTES, length}};
    if (writev(tap, frame, 2) < 0 && errno == EBADFD) return false; /* its interface was deleted */
    at += LENGTH_BYTES + length;
  }
  memmove(b->bytes, b->bytes + at, b->filled - at);
  b->filled -= at;
  return true;
}

static bool send_to_guest(int peer) {
  struct buffer *b = &to_guest;
  ssize_t sent = send(peer, b->bytes + b->sent, b->filled - b->sent, MSG_NOSIGNAL);
  if (sent < 0) return errno == EAGAIN || errno == EINTR;
  b->sent += (size_t)sent;
  if (b->sent == b->filled) b->sent = b->filled = 0;
  return true;
}

/* As many as there are and fit: what is not read waits in the tap's own queue. */
static bool take_from_tap(int tap, int peer) {
  struct buffer *b = &to_guest;
  while (sizeof b->bytes - b->filled >= HEADER_BYTES + MAX_FRAME_BYTES) {
    unsigned char *at = b->bytes + b->filled;
    unsigned char header[HEADER_BYTES];
    struct iovec frame[] = {{header, HEADER_BYTES}, {at + LENGTH_BYTES, MAX_FRAME_BYTES}};
    ssize_t got = readv(tap, frame, 2);
    if (got < 0 && errno != EAGAIN && errno != EINTR) return false;
    if (got <= HEADER_BYTES) break;
    uint32_t length = htonl((uint32_t)(got - HEADER_BYTES));
    memcpy(at, &length, LENGTH_BYTES);
    b->filled += LENGTH_BYTES + (size_t)got - HEADER_BYTES;
  }
  return b->filled == 0 || send_to_guest(peer);
}

int relay(int argc, char **argv) {
  int tap = argc == 4 ? atoi(argv[2]) : -1;
  if (tap <= STDERR_FILENO) {
    fprintf(stderr, "vmjail: --relay FD SOCKET\n");
    return EXIT_USAGE;
  }
  int peer = connect_to(argv[3]);
  /* The socket is the VM's and its directory ours: whoever has got there needs no rights any more. */
  bool is_nobody = geteuid() != 0 || (setgroups(0, NULL) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0 &&
                                      setresuid(NOBODY, NOBODY, NOBODY) == 0);
  if (peer < 0 || !is_nobody || fcntl(tap, F_SETFL, O_NONBLOCK) < 0 || fcntl(peer, F_SETFL, O_NONBLOCK) < 0) {
    fprintf(stderr, "vmjail: cannot relay to %s: %s\n", argv[3], strerror(errno));
    return EXIT_SETUP;
  }
  for (;;) {
    bool waits = to_guest.filled > 0;
    struct pollfd polled[] = {
      {.fd = peer, .events = (short)(POLLIN | (waits ? POLLOUT : 0))},
      {.fd = tap, .events = (short)(waits ? 0 : POLLIN)},
    };
    if (poll(polled, 2, -1) < 0) continue;
    if ((polled[1].revents & (POLLERR | POLLHUP)) != 0) return EXIT_SUCCESS;
    if ((polled[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0 && !take_from_guest(peer, tap)) return EXIT_SUCCESS;
    if ((polled[0].revents & POLLOUT) != 0 && waits && !send_to_guest(peer)) return EXIT_SUCCESS;
    if ((polled[1].revents & POLLIN) != 0 && !take_from_tap(tap, peer)) return EXIT_SUCCESS;
  }
}
