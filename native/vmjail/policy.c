/*
 * What the kernel's own policies (AppArmor, SELinux) know the child as. Plain files and attributes: Documentation/admin-guide/LSM,
 * proc_pid_attr(5).
 */
#include "vmjail.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static const char SELINUX[] = "security.selinux";

/* VM processes are told apart by label only if their files are: what a VM writes to is its own, what it reads any may read. */
void label_file(struct jail *jail, const struct descriptor *descriptor) {
  const char *label = descriptor->mode == 'r' ? jail->options.selinux_read : jail->options.selinux_own;
  struct stat status;
  char now[256];
  if (label == NULL || fstat(descriptor->fd, &status) < 0 || !S_ISREG(status.st_mode)) return;
  size_t length = strlen(label) + 1; /* the kernel keeps the end of the string, too */
  ssize_t found = fgetxattr(descriptor->fd, SELINUX, now, sizeof now);
  if (found == (ssize_t)length && memcmp(now, label, length) == 0) return;
  if (fsetxattr(descriptor->fd, SELINUX, label, length, 0) < 0)
    fail(jail, "label", errno, "cannot label %s as %s", descriptor->path, label);
}

static bool write_attribute(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  bool written = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
  int error = errno;
  close(fd);
  errno = error;
  return written;
}

/* For the next execve(2) of this process. */
bool take_policy(const struct options *options) {
  if (options->selinux != NULL) return write_attribute("/proc/self/attr/exec", options->selinux);
  return options->apparmor == NULL || take_profile(options->apparmor);
}

bool take_profile(const char *name) {
  char text[128];
  snprintf(text, sizeof text, "exec %s", name);
  if (write_attribute("/proc/self/attr/apparmor/exec", text)) return true; /* Linux 5.8 */
  return errno == ENOENT && write_attribute("/proc/self/attr/exec", text);
}
