/*
 * A directory of the host for the guest. The child gets a descriptor of a mount of its own that hangs nowhere: there is no way
 * up from it, and it goes with the last descriptor, whatever ends us. As root, that mount maps ids (mount_setattr(2), since
 * Linux 5.12): the child's user stands for the directory's owner there, and nowhere else; others' files stay others'.
 */
#include "vmjail.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NO_SYMLINKS 0x04 /* linux/openat2.h */

struct open_rule { uint64_t flags, mode, resolve; };

/* The group of new files: the owner's own, passwd(5). One that is not known there (a directory service) has the directory's. */
static gid_t group_of(const struct stat *status) {
  char line[1024];
  gid_t found = status->st_gid;
  FILE *file = fopen("/etc/passwd", "re");
  while (file != NULL && fgets(line, sizeof line, file) != NULL) {
    unsigned uid, gid;
    char *at = strchr(line, ':');
    if (at == NULL || (at = strchr(at + 1, ':')) == NULL || sscanf(at + 1, "%u:%u:", &uid, &gid) != 2) continue;
    if (uid != status->st_uid) continue;
    found = gid;
    break;
  }
  if (file != NULL) fclose(file);
  return found;
}

static bool write_map(pid_t pid, const char *name, const char *text) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
  if (fd >= 0) close(fd);
  return good;
}

/* `from` is shown as `to`, which is itself hidden; all other ids as they are. */
static void swap_map(char *text, size_t size, unsigned from, unsigned to) {
  size_t length = 0;
  unsigned long long low = from < to ? from : to, high = from < to ? to : from, end = 4294967295ULL;
  const unsigned long long parts[][3] = {{0, 0, low}, {from, to, 1}, {low + 1, low + 1, high - low - 1}, {high + 1, high + 1, end - high - 1}};
  for (int i = 0; i < 4; i++) {
    if (from == to && i == 2) continue;
    if (parts[i][2] == 0) continue;
    length += (size_t)snprintf(text + length, size - length, "%llu %llu %llu\n", parts[i][0], parts[i][1], parts[i][2]);
  }
}

/*
 * A user namespace is a process' own: one is made for it, and ends when its namespace has been opened. -1 and errno. Without
 * root a map of groups can only be written where no others can be dropped, user_namespaces(7).
 */
int open_user_namespace(const char *uid_map, const char *gid_map) {
  char path[64];
  int ready[2];
  if (pipe2(ready, O_CLOEXEC) < 0) return -1;
  pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    char ok = unshare(CLONE_NEWUSER) == 0 ? 0 : (char)errno;
    if (write(ready[1], &ok, 1) == 1)
      for (;;) pause();
    _exit(1);
  }
  int fd = -1, error = errno;
  char failed = 1;
  if (pid > 0 && read(ready[0], &failed, 1) == 1) {
    error = failed;
    if (failed == 0 && (geteuid() == 0 || write_map(pid, "setgroups", "deny")) && write_map(pid, "uid_map", uid_map) &&
        write_map(pid, "gid_map", gid_map)) {
      snprintf(path, sizeof path, "/proc/%d/ns/user", (int)pid);
      fd = open(path, O_RDONLY | O_CLOEXEC);
    }
    if (failed == 0) error = errno;
  }
  if (pid > 0) {
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) continue;
  }
  close(ready[0]);
  close(ready[1]);
  errno = error;
  return fd;
}

static int open_id_map(struct jail *jail, const struct stat *status) {
  char uids[256], gids[256];
  swap_map(uids, sizeof uids, status->st_uid, jail->options.uid);
  swap_map(gids, sizeof gids, group_of(status), jail->options.gid);
  return open_user_namespace(uids, gids);
}

/* No link anywhere in the path: it was looked at before, and may have been changed since. */
int open_directory(const char *path) {
  struct open_rule rule = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = NO_SYMLINKS};
  return (int)syscall(NR_OPENAT2, AT_FDCWD, path, &rule, sizeof rule);
}

void open_share(struct jail *jail, struct descriptor *descriptor) {
  struct stat status;
  const char *path = descriptor->path;
  int directory = open_directory(path);
  if (directory < 0 || fstat(directory, &status) < 0) fail(jail, "share", errno, "cannot open the shared directory %s", path);
  descriptor->fd = directory;
  /* Without the right to change users the child is the daemon's own user, and may what that may. */
  if (!jail->options.has_uid || geteuid() != 0) return;
  int map = open_id_map(jail, &status);
  if (map < 0) fail(jail, "idmap", errno, "cannot map the owner of %s", path);
  int tree = (int)syscall(NR_OPEN_TREE, directory, "", TREE_CLONE | TREE_CLOEXEC | EMPTY_PATH);
  if (tree < 0) fail(jail, "idmap", errno, "cannot mount %s for the VM", path);
  struct mount_rule rule = {.set = ATTR_NOSUID | ATTR_NODEV | ATTR_NOEXEC | ATTR_IDMAP, .userns_fd = (uint64_t)map};
  if (descriptor->readonly) rule.set |= ATTR_RDONLY;
  if (syscall(NR_MOUNT_SETATTR, tree, "", EMPTY_PATH, &rule, sizeof rule) < 0)
    fail(jail, "idmap", errno, "cannot map the owner of %s", path);
  close(map);
  close(directory);
  descriptor->fd = tree;
  descriptor->is_mount = true;
}
