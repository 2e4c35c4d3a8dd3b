/* get, list and stat: reading, as fast as credit and output allow. */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"

/* An entry is at most some 350 bytes: this and one more fit into any room that is offered at all. */
#define LIST_BYTES 2048

struct reading {
  struct stream s;
  int fd;   /* a file */
  DIR *dir; /* or a folder */
  char *path;
  struct sha256 sha;
  struct bytes entries; /* of a folder, not sent yet */
  uint64_t bytes;
  mode_t mode;
};

static char *path_of(struct tlvs *values) {
  struct tlv v;
  char *path = NULL;
  while (tlv_next(values, &v)) {
    if (v.tag == TAG_PATH && path == NULL) path = tlv_string(&v);
  }
  if (path != NULL && path[0] == '/') return path;
  free(path);
  return NULL;
}

static void reading_end(struct reading *r) {
  if (r->fd >= 0) close(r->fd);
  if (r->dir != NULL) closedir(r->dir);
  free(r->path);
  bytes_free(&r->entries);
  stream_release(&r->s);
}

static void reading_drop(struct stream *s) { reading_end(container_of(s, struct reading, s)); }

static void file_pump(struct stream *s) {
  struct reading *r = container_of(s, struct reading, s);
  struct bytes result = {0};
  uint8_t digest[32];
  for (;;) {
    size_t room;
    uint8_t *at = stream_data_room(s, 1, &room);
    if (room == 0) return;
    ssize_t n = read(r->fd, at, room);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      stream_fail(s, errno, "%s: %s", r->path, strerror(errno));
      reading_end(r);
      return;
    }
    if (n == 0) break;
    sha256_add(&r->sha, at, (size_t)n);
    r->bytes += (uint64_t)n;
    stream_data_commit(s, 1, (size_t)n);
  }
  sha256_end(&r->sha, digest);
  bytes_tlv(&result, TAG_SHA256, digest, sizeof(digest));
  bytes_u64(&result, TAG_BYTES, r->bytes);
  bytes_u32(&result, TAG_MODE, r->mode & 07777);
  stream_close(s, &result);
  bytes_free(&result);
  reading_end(r);
}

static void add_entry(struct bytes *to, const char *name, const struct stat *st) {
  struct bytes entry = {0};
  uint32_t type = S_ISREG(st->st_mode)   ? FILE_REGULAR
                  : S_ISDIR(st->st_mode) ? FILE_DIRECTORY
                  : S_ISLNK(st->st_mode) ? FILE_SYMLINK
                                         : FILE_OTHER;
  bytes_string(&entry, TAG_NAME, name);
  bytes_u32(&entry, TAG_TYPE, type);
  bytes_u64(&entry, TAG_SIZE, (uint64_t)st->st_size);
  bytes_u32(&entry, TAG_MODE, st->st_mode & 07777);
  bytes_u64(&entry, TAG_MTIME_MS, (uint64_t)st->st_mtim.tv_sec * 1000 + (uint64_t)st->st_mtim.tv_nsec / 1000000);
  to->bad = to->bad || entry.bad;
  bytes_tlv(to, TAG_ENTRY, entry.data, entry.len);
  bytes_free(&entry);
}

/* Reads on until a frame's worth of entries is ready; false at the end of the folder. */
static bool read_entries(struct reading *r) {
  struct dirent *found;
  while (r->entries.len < LIST_BYTES) {
    struct stat st;
    if ((found = readdir(r->dir)) == NULL) return false;
    if (strcmp(found->d_name, ".") == 0 || strcmp(found->d_name, "..") == 0) continue;
    if (fstatat(dirfd(r->dir), found->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) continue; /* gone meanwhile */
    add_entry(&r->entries, found->d_name, &st);
  }
  return true;
}

static void folder_pump(struct stream *s) {
  struct reading *r = container_of(s, struct reading, s);
  bool more;
  do {
    size_t room;
    more = read_entries(r);
    uint8_t *at = stream_data_room(s, 1, &room);
    if (r->entries.len > room) return;
    if (r->entries.len == 0) break;
    memcpy(at, r->entries.data, r->entries.len);
    stream_data_commit(s, 1, r->entries.len);
    r->entries.len = 0;
  } while (more);
  stream_close(s, NULL);
  reading_end(r);
}

static const struct stream_ops FILE_OPS = {.pump = file_pump, .drop = reading_drop};
static const struct stream_ops FOLDER_OPS = {.pump = folder_pump, .drop = reading_drop};

static void reading_start(uint32_t id, struct tlvs *values, bool folder) {
  struct reading *r = calloc(1, sizeof(*r));
  struct stat st = {0};
  char *path = path_of(values);
  if (r == NULL || path == NULL) {
    reply_fail(id, EINVAL, "an absolute path is needed");
    free(r);
    free(path);
    return;
  }
  /* Not blocking: a FIFO without a writer would stop us in open(). */
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | (folder ? O_DIRECTORY : 0));
  int error = fd < 0 || fstat(fd, &st) < 0 ? errno : 0;
  if (error == 0 && !folder) error = S_ISDIR(st.st_mode) ? EISDIR : S_ISREG(st.st_mode) ? 0 : EINVAL;
  if (error == 0 && folder && (r->dir = fdopendir(fd)) == NULL) error = errno;
  if (error != 0) {
    reply_fail(id, error, "%s: %s", path, strerror(error));
    if (fd >= 0) close(fd);
    free(r);
    free(path);
    return;
  }
  r->fd = folder ? -1 : fd;
  r->path = path;
  r->mode = st.st_mode;
  sha256_init(&r->sha);
  stream_add(&r->s, id, folder ? &FOLDER_OPS : &FILE_OPS);
  r->s.ops->pump(&r->s);
}

void op_get(uint32_t id, struct tlvs *values) { reading_start(id, values, false); }

void op_list(uint32_t id, struct tlvs *values) { reading_start(id, values, true); }

void op_stat(uint32_t id, struct tlvs *values) {
  char *path = path_of(values);
  struct bytes result = {0};
  struct stat st;
  if (path == NULL) {
    reply_fail(id, EINVAL, "an absolute path is needed");
  } else if (stat(path, &st) < 0) {
    reply_fail(id, errno, "%s: %s", path, strerror(errno));
  } else {
    const char *slash = strrchr(path, '/');
    add_entry(&result, slash[1] == 0 ? path : slash + 1, &st);
    reply_close(id, &result);
  }
  bytes_free(&result);
  free(path);
}
