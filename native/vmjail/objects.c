/*
 * Memory that outlives its process: objects (memfd_create(2)) that the child fills, and that are handed to others when
 * it has ended. By then they are sealed: a clone that maps one can't write to it, nor shorten it under another.
 */
#include "vmjail.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* musl-gcc finds no kernel headers: linux/memfd.h, linux/fcntl.h. */
#ifndef MFD_CLOEXEC
#define MFD_CLOEXEC 1u
#define MFD_ALLOW_SEALING 2u
#endif
#ifndef F_ADD_SEALS
#define F_ADD_SEALS 1033
#define F_GET_SEALS 1034
#define F_SEAL_SEAL 1
#define F_SEAL_SHRINK 2
#define F_SEAL_GROW 4
#define F_SEAL_WRITE 8
#endif

#ifndef FALLOC_FL_PUNCH_HOLE
#define FALLOC_FL_KEEP_SIZE 1
#define FALLOC_FL_PUNCH_HOLE 2
#endif

#define SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define KEEPER_TIMEOUT_S 5

void make_object(struct jail *jail, struct descriptor *descriptor) {
  descriptor->fd = (int)syscall(SYS_memfd_create, descriptor->name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (descriptor->fd < 0 || ftruncate(descriptor->fd, descriptor->size) < 0)
    fail(jail, "open", errno, "cannot make the memory object '%s'", descriptor->name);
}

/*
 * Gives back the pages that are all zeros: a state that was loaded has put one wherever its guest had never been. What is
 * mapped is not sealed, so nothing stays mapped; what was a hole is not looked at, for that alone would fill it.
 */
static void drop_zeros(int fd) {
  static const char zeros[4096];
  off_t from, to = 0;
  while ((from = lseek(fd, to, SEEK_DATA)) >= 0 && (to = lseek(fd, from, SEEK_HOLE)) > from) {
    off_t start = from / (off_t)sizeof zeros * (off_t)sizeof zeros, end = to / (off_t)sizeof zeros * (off_t)sizeof zeros;
    char *data = end > start ? mmap(NULL, (size_t)(end - start), PROT_READ, MAP_SHARED, fd, start) : MAP_FAILED;
    if (data == MAP_FAILED) continue;
    for (off_t at = start; at < end;) {
      off_t zero = at;
      while (zero < end && memcmp(data + (zero - start), zeros, sizeof zeros) == 0) zero += (off_t)sizeof zeros;
      if (zero > at) fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, zero - at);
      at = zero + (off_t)sizeof zeros;
    }
    munmap(data, (size_t)(end - start));
  }
}

/* Whether all objects are full and sealed now. The child must have ended: a mapping to write is EBUSY to a seal. */
bool seal_objects(struct jail *jail) {
  for (int i = 0; i < jail->options.descriptor_count; i++) {
    struct descriptor *descriptor = &jail->options.descriptors[i];
    struct stat status;
    if (descriptor->mode != 'm') continue;
    drop_zeros(descriptor->fd);
    if (fcntl(descriptor->fd, F_ADD_SEALS, SEALS) < 0) return false;
    /* Never filled: the child ended before it got so far. */
    if (fstat(descriptor->fd, &status) < 0 || status.st_size == 0) return false;
  }
  return true;
}

/* Sends TEXT, with FD if that is one. */
bool send_descriptor(int socket_fd, const char *text, size_t length, int fd) {
  union { struct cmsghdr header; char space[CMSG_SPACE(sizeof(int))]; } control = {0};
  struct iovec part = {(void *)text, length};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (fd >= 0) {
    message.msg_control = control.space;
    message.msg_controllen = sizeof control.space;
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
  }
  return sendmsg(socket_fd, &message, MSG_NOSIGNAL) == (ssize_t)length;
}

static int receive_descriptor(int socket_fd) {
  union { struct cmsghdr header; char space[CMSG_SPACE(sizeof(int))]; } control = {0};
  char answer = 0;
  struct iovec part = {&answer, 1};
  struct msghdr message = {
    .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
  ssize_t length = recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC);
  if (length < 0) return -1;
  struct cmsghdr *header = length == 1 ? CMSG_FIRSTHDR(&message) : NULL;
  if (header == NULL || header->cmsg_type != SCM_RIGHTS || header->cmsg_len != CMSG_LEN(sizeof(int))) {
    errno = length == 0 ? ECONNRESET : answer == ANSWER_BUSY ? EBUSY : answer == ANSWER_NONE ? ENOENT : EPROTO;
    return -1;
  }
  int fd;
  memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return fd;
}

/* A description of its own: what is passed has one offset with everybody who was given it. */
static int open_anew(int passed, int flags) {
  char own[64];
  snprintf(own, sizeof own, "/proc/self/fd/%d", passed);
  int fd = open(own, flags | O_CLOEXEC);
  int error = errno;
  close(passed);
  errno = error;
  return fd;
}

/* Asks the keeper that listens on PATH; -1 and errno. */
static int ask(const char *path, const char *verb, const char *name) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  struct timeval time = {KEEPER_TIMEOUT_S, 0};
  char request[64];
  if (strlen(path) >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy(address.sun_path, path);
  int socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fd = -1;
  if (socket_fd < 0) return -1;
  setsockopt(socket_fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
  setsockopt(socket_fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
  int length = snprintf(request, sizeof request, "%s %.40s\n", verb, name);
  if (connect(socket_fd, (struct sockaddr *)&address, sizeof address) == 0 &&
      send(socket_fd, request, (size_t)length, MSG_NOSIGNAL) == length)
    fd = receive_descriptor(socket_fd);
  /* What SO_RCVTIMEO and SO_SNDTIMEO say is EAGAIN, socket(7). */
  int error = errno == EAGAIN ? ETIMEDOUT : errno;
  close(socket_fd);
  errno = error;
  return fd;
}

/* The finished object NAME, to read. */
int take_object(const char *path, const char *name) {
  int passed = ask(path, "take", name);
  if (passed < 0) return -1;
  int seals = fcntl(passed, F_GET_SEALS);
  if (seals < 0 || (seals & SEALS) != SEALS) {
    close(passed);
    errno = EPERM;
    return -1;
  }
  return open_anew(passed, O_RDONLY);
}

/* The object NAME of a child that runs, empty and to write. */
int fill_object(const char *path, const char *name) {
  int passed = ask(path, "fill", name);
  return passed < 0 ? -1 : open_anew(passed, O_RDWR | O_TRUNC);
}
