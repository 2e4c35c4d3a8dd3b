/* Finding and opening the virtio-serial ports; the kernel announces late ones by uevents, so nothing is polled. */
#include <dirent.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "session.h"

#define AGENT_PORT "skerry.agent"
#define LOG_PORT "skerry.log"
#define PORTS "/sys/class/virtio-ports"

static struct watch uevents = {.fd = -1}, listener = {.fd = -1};
static bool have_log;

int uevent_open(void) {
  struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = 1};
  int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
  if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
    close(fd);
    return -1;
  }
  return fd;
}

static int open_port(const char *node) {
  char path[300];
  snprintf(path, sizeof(path), "/dev/%s", node);
  return open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
}

static void take_port(const char *node) {
  char path[300], name[32];
  snprintf(path, sizeof(path), PORTS "/%s/name", node);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read(fd, name, sizeof(name) - 1);
  if (fd >= 0) close(fd);
  if (n <= 0) return; /* not named yet: a uevent follows the name */
  name[name[n - 1] == '\n' ? n - 1 : n] = 0;
  if (!session_has_port() && strcmp(name, AGENT_PORT) == 0) {
    fd = open_port(node);
    if (fd >= 0) session_start(fd);
  } else if (!have_log && strcmp(name, LOG_PORT) == 0) {
    fd = open_port(node);
    have_log = fd >= 0;
    if (have_log) service_log(fd);
  }
}

static void scan(void) {
  DIR *dir = opendir(PORTS);
  struct dirent *entry;
  if (dir == NULL) return;
  while ((entry = readdir(dir)) != NULL) {
    if (entry->d_name[0] != '.') take_port(entry->d_name);
  }
  closedir(dir);
}

static void on_uevent(struct watch *w, uint32_t events) {
  char text[2048];
  ssize_t n;
  bool found = false;
  (void)events;
  while ((n = recv(w->fd, text, sizeof(text) - 1, 0)) > 0) {
    text[n] = 0; /* the first string is ACTION@DEVPATH */
    if (strstr(text, "/virtio-ports/") != NULL) found = true;
  }
  if (found) scan();
  if (session_has_port() && have_log) watch_close(w);
}

void ports_start(void) {
  scan();
  if (session_has_port() && have_log) return;
  int fd = uevent_open();
  if (fd < 0) {
    say("skerry-agent: no uevents: %s", strerror(errno));
    return;
  }
  watch_add(&uevents, fd, EPOLLIN, on_uevent);
  scan(); /* one may have come between the first look and the socket */
}

static void on_connection(struct watch *w, uint32_t events) {
  (void)events;
  if (session_has_port()) return;
  int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  watch_mod(w, 0); /* one host at a time, as QEMU's chardev does it */
  session_start(fd);
}

void ports_socket(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  /* It appears under its name once it listens, so who waits for it is never refused. */
  snprintf(address.sun_path, sizeof(address.sun_path), "%s.new", path);
  unlink(address.sun_path);
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 8) < 0 ||
      rename(address.sun_path, path) < 0) {
    say("skerry-agent: %s: %s", path, strerror(errno));
    _exit(1);
  }
  watch_add(&listener, fd, EPOLLIN, on_connection);
  service_log(dup(STDOUT_FILENO));
}

bool ports_is_socket(void) { return listener.fd >= 0; }

void ports_host_gone(struct watch *port) {
  watch_close(port);
  watch_mod(&listener, EPOLLIN);
}
