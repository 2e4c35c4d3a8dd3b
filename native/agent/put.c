/* put: into a file beside the target, checked, synced, then renamed over it: the old file or the new one, never half. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"

/* Written out this often, so that the sync at the end is short: it stops everything else meanwhile. */
#define WRITE_OUT_BYTES (8u << 20)

struct put {
  struct stream s;
  int fd;
  char *path, *temporary;
  struct sha256 sha;
  uint64_t bytes, size, written_out;
  bool has_size;
  mode_t mode;
  uint32_t ungranted;
};

static void put_end(struct put *p) {
  if (p->fd >= 0) close(p->fd);
  if (p->temporary != NULL) unlink(p->temporary);
  free(p->temporary);
  free(p->path);
  p->fd = -1;
  p->path = p->temporary = NULL;
  stream_release(&p->s);
}

static void put_drop(struct stream *s) { put_end(container_of(s, struct put, s)); }

static void put_fail(struct put *p, int error) {
  stream_fail(&p->s, error, "%s: %s", p->path, strerror(error));
  put_end(p);
}

static void put_data(struct stream *s, uint8_t channel, const uint8_t *data, size_t len) {
  struct put *p = container_of(s, struct put, s);
  (void)channel;
  sha256_add(&p->sha, data, len);
  p->bytes += len;
  p->ungranted += (uint32_t)len;
  while (len > 0) {
    ssize_t n = write(p->fd, data, len);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      put_fail(p, errno);
      return;
    }
    data += n;
    len -= (size_t)n;
  }
  if (p->bytes - p->written_out >= WRITE_OUT_BYTES) {
    sync_file_range(p->fd, (off_t)p->written_out, 0, SYNC_FILE_RANGE_WRITE);
    p->written_out = p->bytes;
  }
  if (p->ungranted >= WINDOW_BYTES / 4) {
    stream_grant(s, p->ungranted);
    p->ungranted = 0;
  }
}

static void sync_folder(char *path) {
  char *slash = strrchr(path, '/');
  if (slash == NULL) return;
  *slash = 0;
  int fd = open(slash == path ? "/" : path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0) {
    fsync(fd);
    close(fd);
  }
}

static void put_eof(struct stream *s, struct tlvs *values) {
  struct put *p = container_of(s, struct put, s);
  uint8_t digest[32];
  struct bytes result = {0};
  struct tlv v;
  sha256_end(&p->sha, digest);
  while (tlv_next(values, &v)) {
    if (v.tag == TAG_SHA256 && (v.len != sizeof(digest) || memcmp(v.data, digest, sizeof(digest)) != 0)) {
      put_fail(p, EBADMSG);
      return;
    }
  }
  if (p->has_size && p->size != p->bytes) {
    put_fail(p, EMSGSIZE);
    return;
  }
  if (fchmod(p->fd, p->mode) < 0 || fsync(p->fd) < 0 || rename(p->temporary, p->path) < 0) {
    put_fail(p, errno);
    return;
  }
  free(p->temporary);
  p->temporary = NULL;
  sync_folder(p->path);
  bytes_tlv(&result, TAG_SHA256, digest, sizeof(digest));
  bytes_u64(&result, TAG_BYTES, p->bytes);
  stream_close(s, &result);
  bytes_free(&result);
  put_end(p);
}

static const struct stream_ops PUT_OPS = {.data = put_data, .eof = put_eof, .drop = put_drop};

/* The file is opened, or the reason is returned. */
static int put_open(struct put *p, bool parents, bool has_mode) {
  static unsigned count;
  struct stat st;
  char real[PATH_MAX], temporary[PATH_MAX + 32];
  int error = parents ? make_parents(p->path) : 0;
  if (error != 0) return error;
  bool there = stat(p->path, &st) == 0;
  if (there && S_ISDIR(st.st_mode)) return EISDIR;
  if (there && !S_ISREG(st.st_mode)) return EINVAL;
  if (!there && errno != ENOENT) return errno;
  if (there && realpath(p->path, real) != NULL && strcmp(real, p->path) != 0) {
    char *followed = strdup(real); /* through a link, to what it names */
    if (followed == NULL) return ENOMEM;
    free(p->path);
    p->path = followed;
  }
  const char *slash = strrchr(p->path, '/');
  int folder = slash == NULL ? 0 : (int)(slash - p->path) + 1;
  if (slash != NULL && slash[1] == 0) return EISDIR;
  snprintf(temporary, sizeof(temporary), "%.*s.skerry-put-%d-%u", folder, p->path, getpid(), count++);
  p->fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (p->fd < 0) return errno;
  p->temporary = strdup(temporary);
  if (p->temporary == NULL) {
    unlink(temporary);
    return ENOMEM;
  }
  if (there && !has_mode) p->mode = st.st_mode & 07777;
  if (there && fchown(p->fd, st.st_uid, st.st_gid) < 0) return errno;
  /* A lack of room shows now, not after an hour; file systems that can't reserve just go on. */
  if (p->has_size && p->size > 0 && fallocate(p->fd, 0, 0, (off_t)p->size) < 0 && errno == ENOSPC) return ENOSPC;
  return 0;
}

void op_put(uint32_t id, struct tlvs *values) {
  struct put *p = calloc(1, sizeof(*p));
  bool parents = false, has_mode = false;
  struct tlv v;
  if (p == NULL) {
    reply_fail(id, ENOMEM, "out of memory");
    return;
  }
  p->fd = -1;
  p->mode = 0644;
  sha256_init(&p->sha);
  while (tlv_next(values, &v)) {
    if (v.tag == TAG_PATH && p->path == NULL) p->path = tlv_string(&v);
    if (v.tag == TAG_MODE) {
      p->mode = (mode_t)tlv_number(&v) & 07777;
      has_mode = true;
    }
    if (v.tag == TAG_SIZE) {
      p->size = tlv_number(&v);
      p->has_size = true;
    }
    if (v.tag == TAG_MAKE_PARENTS) parents = true;
  }
  stream_add(&p->s, id, &PUT_OPS);
  if (p->path == NULL) p->path = strdup("");
  int error = p->path == NULL ? ENOMEM : p->path[0] != '/' ? EINVAL : put_open(p, parents, has_mode);
  if (error != 0) put_fail(p, error);
}
