/*
 * The child's control group: of version 2 where that has the controllers (cgroups(7)), else one per controller of version 1.
 * What can't be had is a warning in the ready line: a VM without limits is better than none.
 */
#include "vmjail.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mntent.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* linux/magic.h, which musl-gcc does not find. */
#define CGROUP_SUPER_MAGIC 0x27e0eb
#define CGROUP2_SUPER_MAGIC 0x63677270
/* linux/sched.h */
#define CLONE_INTO_CGROUP 0x200000000ull

enum { MEMORY, PIDS, CPU, CONTROLLERS };
static const char *const controller_names[CONTROLLERS] = {"memory", "pids", "cpu"};

struct hierarchy { char path[512]; }; /* where NAME goes; empty: there is none */

static int write_value(const char *dir, const char *file, const char *value) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/%s", dir, file);
  int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return errno;
  int error = write(fd, value, strlen(value)) < 0 ? errno : 0;
  close(fd);
  return error;
}

static bool read_value(const char *dir, const char *file, char *text, size_t size) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/%s", dir, file);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  ssize_t length = read(fd, text, size - 1);
  close(fd);
  text[length > 0 ? length : 0] = '\0';
  return length >= 0;
}

/* Version 2 is in use where it holds the controllers; beside version 1 it often has none of them. */
static bool has_controllers(const char *dir) {
  char list[512];
  return read_value(dir, "cgroup.controllers", list, sizeof list) && strstr(list, "memory") != NULL;
}

/* Without root, a group can only be made below our own, where that was delegated to us. */
static void append_own_group(char *path, size_t size) {
  char text[4096];
  if (geteuid() == 0 || !read_value("/proc/self", "cgroup", text, sizeof text)) return;
  char *own = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
  if (own == NULL) return;
  own = strchr(own, '/');
  own[strcspn(own, "\n")] = '\0';
  size_t length = strlen(path);
  if (strlen(own) > 1) snprintf(path + length, size - length, "%s", own);
}

/* A whole word of the mount's options: musl's hasmntopt(3) takes 'cpuset' for 'cpu'. */
static bool has_option(const char *options, const char *word) {
  size_t length = strlen(word);
  for (const char *at = options; at != NULL; at = strchr(at, ','), at += at != NULL)
    if (strncmp(at, word, length) == 0 && (at[length] == ',' || at[length] == '\0')) return true;
  return false;
}

/* Returns whether version 2 serves; fills one hierarchy (version 2) or one per controller. */
static bool find_hierarchies(struct jail *jail, struct hierarchy found[CONTROLLERS]) {
  const char *root = jail->options.cgroup_root;
  if (root != NULL) {
    bool v2 = has_controllers(root);
    for (int i = 0; i < CONTROLLERS; i++) {
      if (v2) snprintf(found[i].path, sizeof found[i].path, "%s", root);
      else snprintf(found[i].path, sizeof found[i].path, "%s/%s", root, controller_names[i]);
    }
    return v2;
  }
  bool v2 = false;
  FILE *mounts = setmntent("/proc/self/mounts", "re");
  struct mntent *mount;
  while (mounts != NULL && !v2 && (mount = getmntent(mounts)) != NULL) {
    if (strlen(mount->mnt_dir) > 200) continue;
    if (strcmp(mount->mnt_type, "cgroup2") == 0 && has_controllers(mount->mnt_dir)) {
      snprintf(found[0].path, sizeof found[0].path, "%s", mount->mnt_dir);
      append_own_group(found[0].path, sizeof found[0].path);
      v2 = true;
    }
    for (int i = 0; i < CONTROLLERS && strcmp(mount->mnt_type, "cgroup") == 0; i++)
      if (has_option(mount->mnt_opts, controller_names[i]))
        snprintf(found[i].path, sizeof found[i].path, "%s", mount->mnt_dir);
  }
  if (mounts != NULL) endmntent(mounts);
  return v2;
}

/* Kills what is in a group, and waits until it is gone. Only in a real one: elsewhere the numbers mean nothing. */
static void empty_group(const char *path) {
  struct statfs status;
  if (statfs(path, &status) < 0) return;
  if (status.f_type != CGROUP_SUPER_MAGIC && status.f_type != CGROUP2_SUPER_MAGIC) return;
  for (int attempt = 0; attempt < 200; attempt++) {
    char text[4096];
    if (!read_value(path, "cgroup.procs", text, sizeof text) || text[0] == '\0') return;
    for (char *at = strtok(text, "\n"); at != NULL; at = strtok(NULL, "\n")) {
      long pid = strtol(at, NULL, 10);
      if (pid > 1 && pid != getpid()) kill((pid_t)pid, SIGKILL);
    }
    nanosleep(&(struct timespec){0, 5000000}, NULL);
  }
}

/* Makes BASE/NAME with its parents; in version 2 each parent has to pass the controllers on. */
static int make_path(const char *base, const char *name, bool v2, char *path, size_t size) {
  snprintf(path, size, "%s", base);
  while (*name != '\0') {
    for (int i = 0; v2 && i < CONTROLLERS; i++) {
      char value[32];
      snprintf(value, sizeof value, "+%s", controller_names[i]);
      write_value(path, "cgroup.subtree_control", value); /* a lack shows when the limit is set */
    }
    size_t length = strlen(path), part = strcspn(name, "/");
    snprintf(path + length, size - length, "/%.*s", (int)part, name);
    if (mkdir(path, 0755) < 0 && errno != EEXIST) return errno;
    name += part + (name[part] == '/');
  }
  return 0;
}

/* Another VM that ends may remove a parent under our hands: then once more. */
static int make_group(struct jail *jail, const char *base, bool v2) {
  char *path = jail->groups[jail->group_count].path;
  int error = ENOENT;
  for (int attempt = 0; attempt < 5 && error == ENOENT; attempt++)
    error = make_path(base, jail->options.cgroup, v2, path, sizeof jail->groups[0].path);
  if (error != 0) return error;
  empty_group(path);
  jail->group_count++;
  return 0;
}

static void set_limit(struct jail *jail, const char *dir, int controller, bool v2) {
  const struct options *o = &jail->options;
  char value[64];
  int error = 0;
  if (controller == MEMORY && o->memory_max >= 0) {
    snprintf(value, sizeof value, "%lld", o->memory_max);
    error = write_value(dir, v2 ? "memory.max" : "memory.limit_in_bytes", value);
  } else if (controller == PIDS && o->pids_max >= 0) {
    snprintf(value, sizeof value, "%lld", o->pids_max);
    error = write_value(dir, "pids.max", value);
  } else if (controller == CPU && o->cpu_max >= 0) {
    /* Percent of one processor, in the default period of 100 ms. */
    snprintf(value, sizeof value, v2 ? "%lld 100000" : "%lld", o->cpu_max * 1000);
    error = write_value(dir, v2 ? "cpu.max" : "cpu.cfs_quota_us", value);
  }
  if (error != 0) warn(jail, "no %s limit: %s", controller_names[controller], strerror(error));
}

void make_cgroup(struct jail *jail) {
  const struct options *o = &jail->options;
  const bool wanted[CONTROLLERS] = {o->memory_max >= 0, o->pids_max >= 0, o->cpu_max >= 0};
  struct hierarchy found[CONTROLLERS] = {0};
  if (o->cgroup == NULL) {
    if (wanted[MEMORY] || wanted[PIDS] || wanted[CPU]) fail(jail, "usage", EINVAL, "a limit needs --cgroup");
    return;
  }
  bool v2 = find_hierarchies(jail, found);
  if (v2) {
    int error = make_group(jail, found[0].path, true);
    jail->is_unified = true;
    if (error != 0) return warn(jail, "no control group: %s", strerror(error));
    for (int i = 0; i < CONTROLLERS; i++) set_limit(jail, jail->groups[0].path, i, true);
    return;
  }
  for (int i = 0; i < CONTROLLERS; i++) {
    /* Only what is limited, and pids, which also finds leftovers. */
    if (!wanted[i] && i != PIDS) continue;
    int error = found[i].path[0] == '\0' ? ENOENT : make_group(jail, found[i].path, false);
    if (error != 0) warn(jail, "no %s control group: %s", controller_names[i], strerror(error));
    else set_limit(jail, jail->groups[jail->group_count - 1].path, i, false);
  }
}

/*
 * Moving a process from one group to another takes a lock that every fork and exit of the host holds for reading, and with it
 * a grace period of RCU: 16 ms measured (cgroup_attach_lock in kernel/cgroup/cgroup.c). Two ways do without: in version 2 to
 * be born in the group (clone3(2), since Linux 5.7), in version 1 a thread that moves itself, alone (cgroup_procs_write_start).
 */
pid_t fork_into_cgroup(struct jail *jail, bool *is_in) {
  int fd = -1;
  *is_in = false;
  if (jail->group_count == 1 && jail->is_unified) fd = open(jail->groups[0].path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return fork();
  struct {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
  } args = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t)fd};
  *is_in = true;
  pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
  if (pid == 0) return 0;
  close(fd);
  if (pid > 0) return pid;
  *is_in = false; /* an older kernel, or a filter that does not know the call */
  return fork();
}

/* By the child. @returns false when it has to be moved */
bool enter_cgroup(const struct jail *jail) {
  for (int i = 0; i < jail->group_count; i++)
    if (jail->is_unified || write_value(jail->groups[i].path, "tasks", "0") != 0) return false;
  return true;
}

void join_cgroup(struct jail *jail, pid_t pid) {
  char value[32];
  snprintf(value, sizeof value, "%d", (int)pid);
  for (int i = 0; i < jail->group_count; i++) {
    int error = write_value(jail->groups[i].path, "cgroup.procs", value);
    if (error != 0) warn(jail, "could not join %s: %s", jail->groups[i].path, strerror(error));
  }
}

/* Whether the kernel has killed something in the group because it reached its limit (version 1: since Linux 4.13). */
bool killed_for_memory(const struct jail *jail) {
  for (int i = 0; i < jail->group_count; i++) {
    char text[1024];
    const char *file = jail->is_unified ? "memory.events" : "memory.oom_control";
    if (!read_value(jail->groups[i].path, file, text, sizeof text)) continue;
    char *count = strstr(text, "\noom_kill ");
    if (count != NULL && strtol(count + strlen("\noom_kill "), NULL, 10) > 0) return true;
  }
  return false;
}

/* Removes the groups, and those above them that belong to NAME and have become empty. */
void remove_cgroup(struct jail *jail) {
  for (int i = 0; i < jail->group_count; i++) {
    char *path = jail->groups[i].path;
    size_t base = strlen(path) - strlen(jail->options.cgroup) - 1;
    empty_group(path);
    /* The last process' exit may still be under way when it has been waited for; on a host that is busy for seconds. */
    for (int attempt = 0; rmdir(path) < 0 && errno == EBUSY && attempt < 150; attempt++)
      nanosleep(&(struct timespec){0, attempt < 50 ? 2000000 : 30000000}, NULL);
    for (char *slash = strrchr(path, '/'); slash > path + base; slash = strrchr(path, '/')) {
      *slash = '\0';
      if (rmdir(path) < 0) break;
    }
  }
  jail->group_count = 0;
}
