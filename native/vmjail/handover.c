/*
 * vmjail --qmp SOCKET [--getfd NAME=PATH:MODE | --fillfd NAME=SOCKET:OBJECT | --addfd SET=PATH:MODE]... -- JSON...
 * Hands descriptors to a running QEMU over a monitor of its own (QMP `getfd`, `add-fd`), then gives it the commands, and
 * prints each answer; after a failure the last line tells of it. Node can't send descriptors. A name given by `getfd` is
 * known to this monitor alone (monitor/fds.c), so the command that uses it has to come from here as well.
 */
#include "vmjail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_TIMEOUT_S 20
#define LINE_BYTES 65536

static int monitor = -1;
static bool is_lease; /* what QEMU refuses is printed, and that is all */
static bool has_begun; /* a command of the caller's was sent */

/* STEP: `usage`, `open` (a file), `take` (an object) or `monitor`. */
static _Noreturn void give_up(const char *step, int error, const char *what) {
  printf("{\"error\":");
  json_string(stdout, what, strlen(what));
  printf(",\"reason\":");
  json_string(stdout, strerror(error), strlen(strerror(error)));
  printf(",\"errno\":%d,\"step\":\"%s\"}\n", error, step);
  /* What was begun is not begun again: not everything may be done twice. */
  if (is_lease && has_begun) exit(EXIT_SUCCESS);
  exit(strcmp(step, "usage") == 0 ? EXIT_USAGE : EXIT_SETUP);
}

/* The next line that is no event. */
static char *next_answer(void) {
  static char line[LINE_BYTES + 1];
  static size_t length;
  for (;;) {
    char *end = memchr(line, '\n', length);
    if (end != NULL) {
      static char answer[LINE_BYTES + 1];
      size_t size = (size_t)(end - line);
      memcpy(answer, line, size);
      answer[size] = '\0';
      length -= size + 1;
      memmove(line, end + 1, length);
      /* An event begins with its time or its name; an answer with `return` or `error`, the greeting with `QMP`. */
      if (strncmp(answer, "{\"timestamp\"", 12) == 0 || strncmp(answer, "{\"event\"", 8) == 0) continue;
      return answer;
    }
    if (length == LINE_BYTES) give_up("monitor", EMSGSIZE, "QEMU's answer is too long");
    ssize_t got = recv(monitor, line + length, LINE_BYTES - length, 0);
    if (got < 0 && errno == EINTR) continue;
    /* EAGAIN is how SO_RCVTIMEO tells that the time is over, socket(7). */
    if (got < 0) give_up("monitor", errno == EAGAIN ? ETIMEDOUT : errno, "QEMU does not answer");
    if (got == 0) give_up("monitor", ECONNRESET, "QEMU does not answer");
    length += (size_t)got;
  }
}

static void command(const char *text, int fd) {
  if (!send_descriptor(monitor, text, strlen(text), fd)) give_up("monitor", errno, "QEMU does not listen");
  const char *answer = next_answer();
  puts(answer);
  if (strncmp(answer, "{\"return\"", 9) != 0 && !is_lease) exit(EXIT_FAILURE);
}

/* 'KEY=PATH:SUFFIX' in place; the path may hold colons. */
static void split(char *text, char **key, char **path, char **suffix) {
  char *equals = strchr(text, '='), *colon = strrchr(text, ':');
  if (equals == NULL || colon == NULL || colon < equals) give_up("usage", EINVAL, "a descriptor is KEY=PATH:MODE");
  *equals = *colon = '\0';
  *key = text;
  *path = equals + 1;
  *suffix = colon + 1;
}

static int open_mode(const char *path, const char *mode) {
  const int common = O_CLOEXEC | O_NOFOLLOW | O_NOCTTY;
  if (strcmp(mode, "r") == 0) return open(path, O_RDONLY | common);
  if (strcmp(mode, "rw") == 0) return open(path, O_RDWR | common);
  /* A new file: what is there already is never written over. QEMU takes from a set what has just the rights that it wants. */
  if (strcmp(mode, "new") == 0) return open(path, O_WRONLY | O_CREAT | O_EXCL | common, 0600);
  errno = EINVAL;
  return -1;
}

static void pass(const char *option, char *value) {
  char *key, *path, *suffix, text[256], what[512];
  split(value, &key, &path, &suffix);
  bool is_set = strcmp(option, "--addfd") == 0, is_object = strcmp(option, "--fillfd") == 0;
  size_t good = strspn(key, is_set ? "0123456789" : "abcdefghijklmnopqrstuvwxyz0123456789-");
  if (good == 0 || good > (is_set ? 9 : 31) || key[good] != '\0')
    give_up("usage", EINVAL, "a descriptor's name is of a-z, 0-9 and '-', a set is a number");
  int fd = is_object ? fill_object(path, suffix) : open_mode(path, suffix);
  snprintf(what, sizeof what, "cannot open %s", path);
  if (fd < 0) give_up(is_object ? "take" : "open", errno, what);
  if (is_set)
    snprintf(text, sizeof text, "{\"execute\":\"add-fd\",\"arguments\":{\"fdset-id\":%s}}\n", key);
  else snprintf(text, sizeof text, "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"%s\"}}\n", key);
  command(text, fd);
  close(fd);
}

int hand_over(int argc, char **argv, bool of_lease) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  struct timeval time = {ANSWER_TIMEOUT_S, 0};
  is_lease = of_lease;
  if (strlen(argv[2]) >= sizeof address.sun_path) give_up("usage", ENAMETOOLONG, "a socket's path has at most 107 bytes");
  strcpy(address.sun_path, argv[2]);
  monitor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  setsockopt(monitor, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
  setsockopt(monitor, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
  if (connect(monitor, (struct sockaddr *)&address, sizeof address) < 0)
    give_up("monitor", errno, "QEMU's monitor is not there");
  if (strncmp(next_answer(), "{\"QMP\"", 6) != 0) give_up("monitor", EPROTO, "what listens there is no QEMU");
  command("{\"execute\":\"qmp_capabilities\"}\n", -1);
  int i = 3;
  for (; i + 1 < argc && strcmp(argv[i], "--") != 0; i += 2) {
    if (strcmp(argv[i], "--getfd") != 0 && strcmp(argv[i], "--fillfd") != 0 && strcmp(argv[i], "--addfd") != 0)
      give_up("usage", EINVAL, "unknown option");
    pass(argv[i], argv[i + 1]);
  }
  for (i++; i < argc; i++) {
    size_t length = strlen(argv[i]);
    char *line = malloc(length + 2);
    if (line == NULL) give_up("open", ENOMEM, "no memory");
    memcpy(line, argv[i], length);
    memcpy(line + length, "\n", 2);
    has_begun = true;
    command(line, -1);
    free(line);
  }
  return EXIT_SUCCESS;
}
