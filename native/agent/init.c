/* What PID 1 does before anything else: file systems, modules, the root disk. */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent.h"

#define MODULES "/lib/modules"
#define ROOT_WAIT_MS 10000
#define CALM_MS 3000

static bool late_mounted;

static void mount_one(const char *fstype, const char *target, unsigned long flags, const char *options) {
  if (mount(fstype, target, fstype, flags, options) == 0) return;
  if (errno == ENOENT && mkdir(target, 0755) == 0 && mount(fstype, target, fstype, flags, options) == 0) return;
  if (errno != EBUSY) say("skerry-agent: mount %s: %s", target, strerror(errno));
}

void init_mounts(void) {
  mount_one("devtmpfs", "/dev", MS_NOSUID, NULL);
  /* An initramfs without /dev/console leaves us without standard descriptors. */
  int fd = open("/dev/console", O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (fd < 0) fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int i = 0; fd >= 0 && i < 3; i++) {
    if (fd != i) dup2(fd, i);
  }
  if (fd > 2) close(fd);
  mount_one("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  mount_one("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

/* In the root that stays. */
static void late_mounts(void) {
  late_mounted = true;
  mkdir("/dev/pts", 0755);
  mkdir("/dev/shm", 0755);
  mount_one("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "mode=620,ptmxmode=666");
  mount_one("tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777");
  mount_one("tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=755");
  mount_one("tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777");
  mount_one("cgroup2", "/sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  freezer_init();
  names_prepare();
  if (symlink("/proc/self/fd", "/dev/fd") == 0) {
    if (symlink("/proc/self/fd/0", "/dev/stdin") < 0 || symlink("/proc/self/fd/1", "/dev/stdout") < 0 ||
        symlink("/proc/self/fd/2", "/dev/stderr") < 0) {
      say("skerry-agent: /dev/std*: %s", strerror(errno));
    }
  }
}

/*
 * The kernel looks after memory by the clock, of which an idle guest wakes its host twice and once a second
 * (Documentation/admin-guide/sysctl/vm.rst): compaction still happens when somebody needs it, counters are summed up later.
 */
void init_calm(void) {
  write_existing("/proc/sys/vm/compaction_proactiveness", "0");
  write_existing("/proc/sys/vm/stat_interval", "30");
}

static void calm_later(struct timer *t) {
  (void)t;
  init_calm();
}

void init_modules(void) {
  char *order = read_file(MODULES "/load-order", 64 * 1024, NULL), *rest = order, *line;
  while (rest != NULL && (line = strsep(&rest, "\n")) != NULL) {
    char path[4096];
    if (*line == 0 || *line == '#') continue;
    snprintf(path, sizeof(path), "%s%s", *line == '/' ? "" : MODULES "/", line);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)) {
      say("skerry-agent: module %s: %s", path, strerror(errno));
    }
    if (fd >= 0) close(fd);
  }
  free(order);
}

static void wait_device(const char *path, int timeout_ms) {
  struct stat st;
  if (stat(path, &st) == 0) return;
  int64_t end = now_ms() + timeout_ms;
  struct pollfd wait = {.fd = uevent_open(), .events = POLLIN};
  char text[2048];
  while (stat(path, &st) < 0 && now_ms() < end) {
    if (poll(&wait, 1, (int)(end - now_ms())) > 0) {
      while (recv(wait.fd, text, sizeof(text), 0) > 0);
    }
  }
  if (wait.fd >= 0) close(wait.fd);
}

/*
 * Without the option a kernel thread reads all block bitmaps ahead (ext4(5), since Linux 5.9), which an idle machine pays
 * for and a busy one has no need of.
 */
static bool mount_ext4(const char *device) {
  return mount(device, "/newroot", "ext4", MS_NOATIME, "no_prefetch_block_bitmaps") == 0;
}

/* @returns 0, or why the first of them did not do: the last would only say that the kernel does not know it */
static int mount_root(const char *device, const char *fstype) {
  static const char *const TRIED[] = {"ext4", "erofs", "squashfs", "xfs", "btrfs"};
  if ((fstype == NULL || strcmp(fstype, "ext4") == 0) && mount_ext4(device)) return 0;
  int error = errno;
  if (fstype != NULL) return mount(device, "/newroot", fstype, MS_NOATIME, NULL) == 0 ? 0 : errno;
  for (size_t i = 0; i < sizeof(TRIED) / sizeof(TRIED[0]); i++) {
    if (mount(device, "/newroot", TRIED[i], MS_NOATIME, NULL) == 0) return 0;
    if (mount(device, "/newroot", TRIED[i], MS_NOATIME | MS_RDONLY, NULL) == 0) return 0;
  }
  return error;
}

/* What is mounted in the initramfs already goes along. */
static void move_mounts(void) {
  static const char *const MOVED[][2] = {{"/dev", "/newroot/dev"},
                                         {"/proc", "/newroot/proc"},
                                         {"/sys", "/newroot/sys"},
                                         {"/run", "/newroot/run"},
                                         {"/tmp", "/newroot/tmp"}};
  for (size_t i = 0; i < (late_mounted ? 5 : 3); i++) {
    const char *from = MOVED[i][0], *to = MOVED[i][1];
    if (mount(from, to, NULL, MS_MOVE, NULL) == 0) continue;
    if (errno == ENOENT && mkdir(to, 0755) == 0 && mount(from, to, NULL, MS_MOVE, NULL) == 0) continue;
    say("skerry-agent: move %s: %s", from, strerror(errno));
  }
}

/* Makes the disk SPEC (vda[:fstype]) the root; errno of what failed. */
int root_switch(const char *spec) {
  char device[128] = "/dev/", *fstype;
  if (strncmp(spec, device, 5) == 0) spec += 5;
  if (strlen(spec) + 6 > sizeof(device)) return ENAMETOOLONG;
  strcpy(device + 5, spec);
  if ((fstype = strchr(device, ':')) != NULL) *fstype++ = 0;
  /* A template has both already. */
  if (!late_mounted) {
    wait_device(device, ROOT_WAIT_MS);
    mkdir("/newroot", 0755);
  }
  int error = mount_root(device, fstype);
  if (error != 0) return error;
  move_mounts();
  /* switch_root(8)'s way: the disk over the initramfs, which can't be unmounted. */
  return chdir("/newroot") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0 ? errno : 0;
}

/*
 * skerry.root=vda[:fstype] in the kernel's command line; without it the initramfs stays the root. `later`: identify names
 * the disk, for this machine becomes a template of others, which have one each.
 */
void init_root(void) {
  char *cmdline = read_file("/proc/cmdline", 16 * 1024, NULL), *rest = cmdline, *word;
  const char *root = NULL;
  while (rest != NULL && (word = strsep(&rest, " \n")) != NULL) {
    if (strncmp(word, "skerry.root=", 12) == 0) root = word + 12;
  }
  bool later = root != NULL && strcmp(root, "later") == 0;
  int error = root == NULL || later ? 0 : root_switch(root);
  /* The initramfs goes on as root, so that somebody can look: `exec` works there too. */
  if (error != 0) say("skerry-agent: root %s: %s", root, strerror(error));
  free(cmdline);
  late_mounts();
  static struct timer calm;
  if (later) template_prepare();
  else timer_set(&calm, CALM_MS, calm_later); /* not while somebody waits for us */
}
