/*
 * Who this machine is, as files. They lie in /run/skerry, where writing one does not go through a disk's journal, and stay
 * open: in a clone every system call's first use is paid for. Images have links to them in /etc; one without gets copies.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"

#define DIR "/run/skerry/"
#define ROOM 4096

static struct {
  const char *path, *copy;
  int fd;
  bool told;
} names[] = {
    [NAME_HOSTNAME] = {DIR "hostname", "/etc/hostname", -1, false},
    [NAME_MACHINE_ID] = {DIR "machine-id", "/etc/machine-id", -1, false},
    [NAME_RESOLV_CONF] = {DIR "resolv.conf", "/etc/resolv.conf", -1, false},
    [NAME_HOSTS] = {DIR "hosts", "/etc/hosts", -1, false},
    [NAME_GENERATION] = {DIR "generation", NULL, -1, false},
    [NAME_BOOT_ID] = {DIR "boot_id", "/proc/sys/kernel/random/boot_id", -1, false},
};

static void name_open(enum name name) {
  names[name].fd = open(names[name].path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  /* Its page is there, then, when a clone writes it. */
  if (names[name].fd >= 0) fallocate(names[name].fd, FALLOC_FL_KEEP_SIZE, 0, ROOM);
}

void names_prepare(void) {
  if (mkdir("/run/skerry", 0755) < 0 && errno != EEXIST) return;
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
    if (names[i].fd < 0) name_open((enum name)i);
  }
}

/*
 * How much is in the file. Once somebody's programs have run, that is any text of theirs; or another file is in its place
 * (by rename, through the link) and ours has no name any more. The boot id's goes on where it is bound, name or no name.
 */
static size_t now_in(enum name name) {
  struct stat st;
  if (!names[name].told || names[name].fd < 0 || fstat(names[name].fd, &st) < 0) return 0;
  if (st.st_nlink > 0 || name == NAME_BOOT_ID) return (size_t)st.st_size;
  close(names[name].fd);
  name_open(name);
  return 0;
}

/* Cut afterwards: who reads meanwhile may see the end of a longer old text, but that is a fork's, whose processes stand still. */
static int overwrite(enum name name, const char *text, size_t len, size_t old) {
  ssize_t n = pwrite(names[name].fd, text, len, 0);
  if (n < 0 || (size_t)n < len) return n < 0 ? errno : ENOSPC;
  names[name].told = true;
  return len < old && ftruncate(names[name].fd, (off_t)len) < 0 ? errno : 0;
}

/* For programs that watch it (inotify(7)), of which there are none before the first: a new file takes the old one's place. */
static int replace_generation(const char *text, size_t len) {
  int error = write_file(DIR ".generation", text, len, 0644);
  return error == 0 && rename(DIR ".generation", names[NAME_GENERATION].path) < 0 ? errno : error;
}

/* The kernel draws its own once, at the first look (drivers/char/random.c), and keeps it: over that file lies ours. */
static int cover_boot_id(void) {
  static bool covered;
  if (covered) return 0;
  if (mount(names[NAME_BOOT_ID].path, names[NAME_BOOT_ID].copy, NULL, MS_BIND, NULL) < 0) return errno;
  covered = true;
  return 0;
}

/* A read-only root keeps its own files: no reason to refuse the identity. */
static int write_copy(enum name name, const char *text, size_t len) {
  const char *copy = names[name].copy;
  char target[64];
  ssize_t n = names[name].fd < 0 ? -1 : readlink(copy, target, sizeof(target) - 1);
  if (n > 0 && (target[n] = 0, strcmp(target, names[name].path) == 0)) return 0;
  int error = write_file(copy, text, len, 0644);
  return error == EROFS || error == ENOENT ? 0 : error;
}

int name_set(enum name name, const struct tlv *v, const char *end) {
  char text[16 * 1024];
  size_t more = strlen(end), len = v->len + more;
  int error = 0;
  if (len > sizeof(text)) return E2BIG;
  memcpy(text, v->data, v->len);
  memcpy(text + v->len, end, more);
  if (name == NAME_GENERATION && names[name].told) return replace_generation(text, len);
  size_t old = now_in(name);
  if (names[name].fd >= 0) error = overwrite(name, text, len, old);
  if (error != 0 || name == NAME_GENERATION) return error;
  if (name == NAME_BOOT_ID) return names[name].fd < 0 ? 0 : cover_boot_id();
  return write_copy(name, text, len);
}
