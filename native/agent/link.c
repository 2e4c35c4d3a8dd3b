/* link: a symbolic link, made beside its place and renamed over what is there. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"

/* A folder in its place stays: rename(2) fails. */
static int make_link(const char *path, const char *target) {
  char temporary[PATH_MAX];
  int error = make_parents(path);
  if (error != 0) return error;
  if (snprintf(temporary, sizeof(temporary), "%s.skerry-link-%d", path, getpid()) >= (int)sizeof(temporary)) {
    return ENAMETOOLONG;
  }
  if (unlink(temporary) < 0 && errno != ENOENT) return errno;
  if (symlink(target, temporary) < 0) return errno;
  if (rename(temporary, path) == 0) return 0;
  error = errno;
  unlink(temporary);
  return error;
}

void op_link(uint32_t id, struct tlvs *values) {
  char *path = NULL, *target = NULL;
  struct tlv v;
  while (tlv_next(values, &v)) {
    char **to = v.tag == TAG_PATH ? &path : v.tag == TAG_TARGET ? &target : NULL;
    if (to != NULL && *to == NULL) *to = tlv_string(&v);
  }
  int error = path == NULL || path[0] != '/' || target == NULL ? EINVAL : make_link(path, target);
  if (error != 0) reply_fail(id, error, "%s: %s", path == NULL ? "link" : path, strerror(error));
  else reply_close(id, NULL);
  free(path);
  free(target);
}
