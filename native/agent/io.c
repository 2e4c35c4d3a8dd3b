/* Whole small files, and folders on the way to one. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"

int write_file(const char *path, const void *data, size_t len, mode_t mode) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
  if (fd < 0) return errno;
  ssize_t n = write(fd, data, len);
  int error = n < 0 ? errno : (size_t)n < len ? ENOSPC : 0;
  close(fd);
  return error;
}

int write_existing(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return errno;
  int error = write(fd, text, strlen(text)) < 0 ? errno : 0;
  close(fd);
  return error;
}

char *read_file(const char *path, size_t max, size_t *len) {
  size_t have = 0, cap = 4096;
  char *text = malloc(cap + 1);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  while (fd >= 0 && text != NULL && have < max) {
    ssize_t n = read(fd, text + have, cap - have);
    if (n <= 0) break;
    have += (size_t)n;
    if (have < cap) continue;
    char *grown = realloc(text, (cap *= 2) + 1);
    if (grown == NULL) free(text);
    text = grown;
  }
  if (fd >= 0) close(fd);
  if (fd < 0 || text == NULL) {
    free(text);
    return NULL;
  }
  text[have] = 0;
  if (len != NULL) *len = have;
  return text;
}

int make_parents(const char *path) {
  char part[4096];
  size_t len = strlen(path);
  if (len >= sizeof(part)) return ENAMETOOLONG;
  memcpy(part, path, len + 1);
  for (char *at = strchr(part + 1, '/'); at != NULL; at = strchr(at + 1, '/')) {
    *at = 0;
    if (mkdir(part, 0755) < 0 && errno != EEXIST) return errno;
    *at = '/';
  }
  return 0;
}
