/*
 * A directory of the host for the guest, given by a server (virtiofsd). The child gets a socket that is connected to it; its path
 * is gone before anybody else could know it. The server has namespaces of its own: in the one of users it is root, and nobody but
 * the child's user outside; in the one of mounts the directory lies on SERVED_AT, where it makes that its root by itself.
 */
#include "vmjail.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* Of every Linux system (Filesystem Hierarchy Standard 3.0, 3.12), and nothing of a server's is in it. */
#define SERVED_AT "/mnt"

static bool connect_to(int fd, const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strcpy(address.sun_path, path);
  return connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
}

void open_served(struct jail *jail, struct descriptor *descriptor) {
  char path[64], map[64], groups[64];
  const struct options *o = &jail->options;
  bool made = false;
  open_share(jail, descriptor);
  descriptor->directory_fd = descriptor->fd;
  /* Short, wherever the directory is: a socket's path is at most 107 bytes. */
  snprintf(path, sizeof path, "/proc/self/fd/%d/.server", jail->dir_fd);
  descriptor->server_fd = bind_socket(jail, path, &made);
  descriptor->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  bool connected = descriptor->fd >= 0 && listen(descriptor->server_fd, 1) == 0 && connect_to(descriptor->fd, path);
  int error = errno;
  unlink(path);
  if (!connected) fail(jail, "listen", error, "cannot make a socket for %s", descriptor->name);
  snprintf(map, sizeof map, "0 %u 1\n", (unsigned)(o->has_uid ? o->uid : geteuid()));
  snprintf(groups, sizeof groups, "0 %u 1\n", (unsigned)(o->has_uid ? o->gid : getegid()));
  descriptor->userns_fd = open_user_namespace(map, groups);
  if (descriptor->userns_fd < 0) fail(jail, "server", errno, "cannot make a user namespace for the server of %s", descriptor->path);
}

/* The mount that open_share() made, or the directory as it is, with what is mounted below it. */
static void mount_directory(const struct descriptor *served, int channel) {
  int tree = served->directory_fd;
  if (!served->is_mount) {
    /* Once more by its path: what was opened belongs to the mounts that we have left. */
    struct mount_rule rule = {.set = ATTR_NOSUID | ATTR_NODEV | (served->readonly ? ATTR_RDONLY : 0)};
    int directory = open_directory(served->path);
    if (directory < 0) fail_step(channel, "share");
    tree = (int)syscall(NR_OPEN_TREE, directory, "", TREE_CLONE | TREE_CLOEXEC | TREE_RECURSIVE | EMPTY_PATH);
    if (tree < 0 || syscall(NR_MOUNT_SETATTR, tree, "", EMPTY_PATH | TREE_RECURSIVE, &rule, sizeof rule) < 0)
      fail_step(channel, "server");
  }
  if (syscall(NR_MOVE_MOUNT, tree, "", AT_FDCWD, SERVED_AT, MOVE_EMPTY_PATH) < 0) fail_step(channel, "server");
}

static bool write_own(const char *path) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  bool good = fd >= 0 && write(fd, "0 0 1\n", 6) == 6;
  if (fd >= 0) close(fd);
  return good;
}

/* A namespace in the one that has made the mounts. Rights that were won hide a process' files from itself, prctl(2). */
static bool enter_inner_namespace(void) {
  return unshare(CLONE_NEWUSER) == 0 && prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0 && write_own("/proc/self/uid_map") &&
         write_own("/proc/self/gid_map");
}

/*
 * What has mounted the directory is never what the server is root of: so it can change nothing of the mount, not even to one that can
 * be written (mount_namespaces(7), "restrictions"). Root mounts as root; who is none enters a user namespace for it first.
 */
static void confine_server(struct jail *jail, const struct descriptor *served, int channel) {
  const char *profile = jail->options.server_apparmor;
  bool is_root = geteuid() == 0;
  struct rlimit files, none = {0, 0};
  if (profile != NULL && !take_profile(profile)) fail_step(channel, "policy");
  if (!is_root && setns(served->userns_fd, CLONE_NEWUSER) < 0) fail_step(channel, "server");
  if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) fail_step(channel, "server");
  mount_directory(served, channel);
  if (is_root ? setgroups(0, NULL) < 0 || setns(served->userns_fd, CLONE_NEWUSER) < 0 : !enter_inner_namespace())
    fail_step(channel, "server");
  if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0) fail_step(channel, "server");
  setrlimit(RLIMIT_CORE, &none);
  /* It has one open for each file that the guest knows of. */
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) files.rlim_cur = files.rlim_max, setrlimit(RLIMIT_NOFILE, &files);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || !forbid_set_id_and_owners()) fail_step(channel, "server");
  fcntl(served->server_fd, F_SETFD, 0);
}

void start_servers(struct jail *jail) {
  struct options *options = &jail->options;
  for (int i = 0; i < options->descriptor_count; i++) {
    const struct descriptor *served = &options->descriptors[i];
    char number[32];
    if (served->mode != 'v') continue;
    if (options->server_arguments == 0) fail(jail, "usage", EINVAL, "--served needs --server");
    if (jail->server_count == MAX_SERVERS) fail(jail, "usage", E2BIG, "more than %d --served", MAX_SERVERS);
    /* What a server leaves behind at its end is ours then, so that end_servers() can wait for it, prctl(2). */
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    snprintf(number, sizeof number, "--fd=%d", served->server_fd);
    options->server[options->server_arguments] = number;
    jail->servers[jail->server_count].name = served->name;
    spawn(jail, &jail->servers[jail->server_count++].pid, options->server, confine_server, served);
    close(served->directory_fd);
    close(served->server_fd);
    close(served->userns_fd);
  }
}

/* The name of one that runs no more; it is waited for in end_servers(), so that its number stays its own. */
const char *ended_server(const struct jail *jail) {
  for (int i = 0; i < jail->server_count; i++) {
    siginfo_t info = {0};
    id_t pid = (id_t)jail->servers[i].pid;
    if (waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0) return jail->servers[i].name;
  }
  return NULL;
}

/* Each with what it has started: its sandbox is a process of its own, which may be longer in dying. */
void end_servers(struct jail *jail) {
  for (int i = 0; i < jail->server_count; i++) {
    pid_t group = jail->servers[i].pid;
    if (group <= 0) continue;
    kill(group, SIGKILL);
    kill(-group, SIGKILL);
    while (waitpid(-group, NULL, 0) > 0 || errno == EINTR) continue;
  }
  jail->server_count = 0;
}
