/*
 * Memory that outlives its process: objects (memfd_create(2)) that the child fills, and that are handed to others when it
 * has ended. From then on they are sealed, so a clone that maps one can't write to it, whatever it does.
 *
 * Protocol of the --keep socket, one request a connection: 'NAME\n' is answered with one byte and the object's descriptor
 * (SCM_RIGHTS, unix(7)); 'wait\n' with 'sealed NAME=BYTES...\n' once they are, the
 * bytes being those that they take. An unknown name, and a child that failed, close the connection.
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
#define F_SEAL_SEAL 1
#define F_SEAL_SHRINK 2
#define F_SEAL_GROW 4
#define F_SEAL_WRITE 8
#endif

#define PEER_TIMEOUT_MS 2000

static void limit_waiting(int fd) {
  struct timeval time = {PEER_TIMEOUT_MS / 1000, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
}

void make_object(struct jail *jail, struct descriptor *descriptor) {
  descriptor->fd = (int)syscall(SYS_memfd_create, descriptor->name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (descriptor->fd < 0 || ftruncate(descriptor->fd, descriptor->size) < 0)
    fail(jail, "open", errno, "cannot make the memory object '%s'", descriptor->name);
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
  char byte;
  struct iovec part = {&byte, 1};
  struct msghdr message = {
    .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
  ssize_t length = recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC);
  struct cmsghdr *header = length == 1 ? CMSG_FIRSTHDR(&message) : NULL;
  if (header == NULL || header->cmsg_type != SCM_RIGHTS || header->cmsg_len != CMSG_LEN(sizeof(int))) {
    if (length >= 0) errno = ENOENT;
    return -1;
  }
  int fd;
  memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return fd;
}

/* A description of its own, to read: what was passed has one offset with everybody who was given it. */
int take_to_read(const char *path, const char *name) {
  char own[64];
  int passed = take_object(path, name);
  if (passed < 0) return -1;
  snprintf(own, sizeof own, "/proc/self/fd/%d", passed);
  int fd = open(own, O_RDONLY | O_CLOEXEC);
  int error = errno;
  close(passed);
  errno = error;
  return fd;
}

/* The object NAME of the keeper that listens on PATH; -1 and errno. */
int take_object(const char *path, const char *name) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  char request[64];
  int socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fd = -1;
  if (socket_fd < 0) return -1;
  snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  int length = snprintf(request, sizeof request, "%s\n", name);
  limit_waiting(socket_fd);
  if (connect(socket_fd, (struct sockaddr *)&address, sizeof address) == 0 &&
      send(socket_fd, request, (size_t)length, MSG_NOSIGNAL) == length)
    fd = receive_descriptor(socket_fd);
  int error = errno;
  close(socket_fd);
  errno = error;
  return fd;
}

static void tell_sealed(struct jail *jail, int peer) {
  char text[1024] = "sealed";
  for (int i = 0; i < jail->options.descriptor_count; i++) {
    struct descriptor *descriptor = &jail->options.descriptors[i];
    struct stat status;
    size_t length = strlen(text);
    if (descriptor->mode != 'm' || fstat(descriptor->fd, &status) < 0) continue;
    snprintf(text + length, sizeof text - length, " %s=%lld", descriptor->name, (long long)status.st_blocks * 512);
  }
  strncat(text, "\n", sizeof text - strlen(text) - 1);
  if (send(peer, text, strlen(text), MSG_NOSIGNAL) < 0) { /* it has gone: nobody to tell */ }
}

void seal_objects(struct jail *jail) {
  for (int i = 0; i < jail->options.descriptor_count; i++) {
    struct descriptor *descriptor = &jail->options.descriptors[i];
    if (descriptor->mode != 'm') continue;
    /* EBUSY as long as somebody maps it to write: the child has ended, so nobody does, unless a seal is there already. */
    if (fcntl(descriptor->fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) return;
  }
  jail->sealed = true;
  for (int i = 0; i < jail->waiter_count; i++) {
    tell_sealed(jail, jail->waiters[i]);
    close(jail->waiters[i]);
  }
  jail->waiter_count = 0;
}

static void answer(struct jail *jail, int peer, const char *name) {
  if (strcmp(name, "wait") == 0) {
    if (!jail->sealed && jail->waiter_count < MAX_WAITERS) {
      jail->waiters[jail->waiter_count++] = peer;
      return;
    }
    if (jail->sealed) tell_sealed(jail, peer);
  }
  for (int i = 0; i < jail->options.descriptor_count; i++) {
    struct descriptor *descriptor = &jail->options.descriptors[i];
    if (descriptor->mode == 'm' && strcmp(descriptor->name, name) == 0) send_descriptor(peer, "k", 1, descriptor->fd);
  }
  close(peer);
}

void serve_object(struct jail *jail) {
  char name[64];
  int peer = accept4(jail->keep_fd, NULL, NULL, SOCK_CLOEXEC);
  if (peer < 0) return;
  limit_waiting(peer);
  ssize_t length = recv(peer, name, sizeof name - 1, 0);
  if (length < 2 || name[length - 1] != '\n') {
    close(peer);
    return;
  }
  name[length - 1] = '\0';
  answer(jail, peer, name);
}
