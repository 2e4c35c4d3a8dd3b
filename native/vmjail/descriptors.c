/*
 * Sockets and files of the child. They are made and opened here, with our rights, and handed over as descriptors: the
 * child's uid needs no way into any directory.
 */
#include "vmjail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

/* Descriptors 0 to 2 exist after this, and no others: whatever the launcher leaked stays out of the VM. */
void close_inherited(void) {
  int fd;
  do fd = open("/dev/null", O_RDWR);
  while (fd >= 0 && fd <= STDERR_FILENO);
#ifdef SYS_close_range
  if (syscall(SYS_close_range, 3u, ~0u, 0u) == 0) return; /* Linux 5.9 */
#endif
  struct rlimit limit = {1024, 1024};
  getrlimit(RLIMIT_NOFILE, &limit);
  int end = limit.rlim_cur > 65536 ? 65536 : (int)limit.rlim_cur;
  for (fd = 3; fd < end; fd++) close(fd);
}

static void give_away(struct jail *jail, struct descriptor *descriptor) {
  struct options *options = &jail->options;
  if (!options->has_uid || geteuid() != 0) return;
  int result = descriptor->mode == 'l' ? lchown(descriptor->path, options->uid, options->gid)
                                       : fchown(descriptor->fd, options->uid, options->gid);
  if (result < 0) fail(jail, "uid", errno, "cannot give %s to uid %u", descriptor->path, (unsigned)options->uid);
}

/* A listening socket that nobody but us may connect to yet. */
int bind_socket(struct jail *jail, const char *path, bool *made) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  struct stat status;
  strcpy(address.sun_path, path); /* its length was checked with the options */
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) fail(jail, "listen", errno, "cannot make a socket");
  if (lstat(path, &status) == 0) {
    if (!S_ISSOCK(status.st_mode)) fail(jail, "listen", EEXIST, "%s is there, and is no socket", path);
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool stale = connect(probe, (struct sockaddr *)&address, sizeof address) < 0 && errno == ECONNREFUSED;
    close(probe);
    if (!stale) fail(jail, "listen", EADDRINUSE, "somebody listens on %s", path);
    unlink(path);
  }
  mode_t mask = umask(0177);
  int bound = bind(fd, (struct sockaddr *)&address, sizeof address);
  int error = errno;
  umask(mask);
  if (bound < 0) fail(jail, "listen", error, "cannot bind %s", path);
  *made = true;
  return fd;
}

static void listen_on(struct jail *jail, struct descriptor *descriptor) {
  descriptor->fd = bind_socket(jail, descriptor->path, &descriptor->made);
  give_away(jail, descriptor);
  if (listen(descriptor->fd, 8) < 0) fail(jail, "listen", errno, "cannot listen on %s", descriptor->path);
}

/* Opens without waiting (a FIFO, a device) and without following a link that a VM could have left in its directory. */
static int open_path(const char *path, int flags, bool *made) {
  const int common = O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK;
  int fd = open(path, flags | common);
  if (fd < 0 && errno == ENOENT && made != NULL) {
    fd = open(path, flags | common | O_CREAT | O_EXCL, 0600);
    *made = fd >= 0;
  }
  if (fd >= 0) fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
  return fd;
}

static void open_file(struct jail *jail, struct descriptor *descriptor) {
  bool appends = descriptor->mode == 'a';
  int flags = appends ? O_WRONLY | O_APPEND : descriptor->mode == 'w' ? O_RDWR : O_RDONLY;
  descriptor->fd = open_path(descriptor->path, flags, appends ? &descriptor->made : NULL);
  if (descriptor->fd < 0) fail(jail, "open", errno, "cannot open %s", descriptor->path);
  if (descriptor->made) give_away(jail, descriptor);
  label_file(jail, descriptor);
}

void open_descriptors(struct jail *jail) {
  struct options *options = &jail->options;
  for (int i = 0; i < options->descriptor_count; i++) {
    struct descriptor *descriptor = &options->descriptors[i];
    if (descriptor->mode == 'l') listen_on(jail, descriptor);
    else if (descriptor->mode == 'm') make_object(jail, descriptor);
    else if (descriptor->mode == 's') open_share(jail, descriptor);
    else if (descriptor->mode == 'v') open_served(jail, descriptor);
    else if (descriptor->mode == 'i') open_tap(jail, descriptor);
    else if (descriptor->mode == 't') {
      descriptor->fd = take_object(descriptor->path, descriptor->object);
      if (descriptor->fd < 0) fail(jail, "take", errno, "no memory object '%s' at %s", descriptor->object, descriptor->path);
    } else open_file(jail, descriptor);
  }
  if (options->keep_path != NULL) {
    jail->keep_fd = bind_socket(jail, options->keep_path, &jail->keep_made);
    if (listen(jail->keep_fd, 64) < 0) fail(jail, "listen", errno, "cannot listen on %s", options->keep_path);
  }
  if (options->log_path == NULL) return;
  jail->log_fd = open_path(options->log_path, O_WRONLY | O_APPEND, &jail->log_made);
  if (jail->log_fd < 0) fail(jail, "open", errno, "cannot open %s", options->log_path);
}

void remove_listeners(struct jail *jail, bool failed) {
  for (int i = 0; i < jail->options.descriptor_count; i++) {
    struct descriptor *descriptor = &jail->options.descriptors[i];
    if (descriptor->made && (descriptor->mode == 'l' || failed)) unlink(descriptor->path);
    descriptor->made = false;
  }
}

void remove_sockets(struct jail *jail, bool failed) {
  remove_listeners(jail, failed);
  if (jail->keep_made) unlink(jail->options.keep_path);
  jail->keep_made = false;
  if (failed && jail->log_made) unlink(jail->options.log_path);
}
