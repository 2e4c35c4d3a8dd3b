/* The command line. Every option takes one value; paths are absolute, because the working directory becomes '/'. */
#include "vmjail.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

static long long number(struct jail *jail, const char *option, const char *text, long long min, long long max) {
  char *end;
  errno = 0;
  long long value = strtoll(text, &end, 10);
  if (errno != 0 || end == text || *end != '\0' || value < min || value > max)
    fail(jail, "usage", EINVAL, "%s takes a number from %lld to %lld", option, min, max);
  return value;
}

static const char *absolute(struct jail *jail, const char *option, const char *path) {
  if (path[0] != '/' || strlen(path) >= PATH_MAX) fail(jail, "usage", EINVAL, "%s takes an absolute path", option);
  return path;
}

/* Splits 'PATH:SUFFIX' at the last colon, in place. */
static char *cut_suffix(struct jail *jail, const char *option, char *text) {
  char *colon = strrchr(text, ':');
  if (colon == NULL) fail(jail, "usage", EINVAL, "%s lacks a ':'", option);
  *colon = '\0';
  return colon + 1;
}

static void add_descriptor(struct jail *jail, const char *option, char *text, char kind) {
  struct options *options = &jail->options;
  if (options->descriptor_count == MAX_DESCRIPTORS)
    fail(jail, "usage", E2BIG, "more than %d descriptors", MAX_DESCRIPTORS);
  struct descriptor *descriptor = &options->descriptors[options->descriptor_count];
  size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-");
  if (text[length] != '=' || length == 0 || length >= sizeof descriptor->name)
    fail(jail, "usage", EINVAL, "%s takes NAME=PATH, the name of a-z, 0-9, '-' and '_', at most 31", option);
  memcpy(descriptor->name, text, length);
  descriptor->name[length] = '\0';
  for (int i = 0; i < options->descriptor_count; i++)
    if (strcmp(options->descriptors[i].name, descriptor->name) == 0)
      fail(jail, "usage", EINVAL, "the name '%s' is given twice", descriptor->name);
  char *path = text + length + 1;
  descriptor->mode = kind;
  descriptor->fd = -1;
  options->descriptor_count++;
  if (kind == 'm') {
    descriptor->size = number(jail, option, path, 0, LLONG_MAX);
    return;
  }
  if (kind == 'i') {
    if (path[0] != '\0' && !is_tap_name(path))
      fail(jail, "usage", EINVAL, "%s takes NAME=INTERFACE, sk and a-z or 0-9, at most 15, or NAME=", option);
    descriptor->path = path;
    return;
  }
  if (kind == 't') {
    descriptor->object = cut_suffix(jail, option, path);
    if (descriptor->object[0] == '\0' || strlen(descriptor->object) > 31)
      fail(jail, "usage", EINVAL, "%s takes NAME=SOCKET:OBJECT", option);
  } else if (kind == 's' || kind == 'v') {
    const char *mode = cut_suffix(jail, option, path);
    if (strcmp(mode, "ro") != 0 && strcmp(mode, "rw") != 0)
      fail(jail, "usage", EINVAL, "the mode of '%s' is neither ro nor rw", descriptor->name);
    descriptor->readonly = mode[1] == 'o';
    if (kind == 's') options->has_shares = true;
  } else if (kind == 'f') {
    const char *mode = cut_suffix(jail, option, path);
    if (strcmp(mode, "r") != 0 && strcmp(mode, "rw") != 0 && strcmp(mode, "a") != 0)
      fail(jail, "usage", EINVAL, "the mode of '%s' is none of r, rw, a", descriptor->name);
    descriptor->mode = strcmp(mode, "rw") == 0 ? 'w' : mode[0];
  }
  if ((kind == 'l' || kind == 't') && strlen(path) >= sizeof((struct sockaddr_un *)0)->sun_path) {
    fail(jail, "usage", ENAMETOOLONG, "the socket path of '%s' is longer than 107 bytes", descriptor->name);
  }
  descriptor->path = absolute(jail, option, path);
}

static void add_rlimit(struct jail *jail, char *text) {
  static const struct { const char *name; int resource; } known[] = {
    {"nofile", RLIMIT_NOFILE}, {"fsize", RLIMIT_FSIZE}, {"nproc", RLIMIT_NPROC}, {"core", RLIMIT_CORE},
    {"memlock", RLIMIT_MEMLOCK}, {"as", RLIMIT_AS}, {"cpu", RLIMIT_CPU}, {"stack", RLIMIT_STACK},
  };
  struct options *options = &jail->options;
  char *equals = strchr(text, '=');
  if (equals == NULL) fail(jail, "usage", EINVAL, "--rlimit takes NAME=N");
  *equals = '\0';
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
    if (strcmp(known[i].name, text) != 0) continue;
    if (options->rlimit_count == MAX_RLIMITS) fail(jail, "usage", E2BIG, "too many --rlimit");
    options->rlimits[options->rlimit_count].resource = known[i].resource;
    options->rlimits[options->rlimit_count++].value = (rlim_t)number(jail, "--rlimit", equals + 1, 0, LLONG_MAX);
    return;
  }
  fail(jail, "usage", EINVAL, "no resource limit '%s' is known", text);
}

/*
 * The name's first part starts with 'skerry': a leftover group's processes are killed, and no misspelling may make that
 * somebody else's group.
 */
static const char *cgroup_name(struct jail *jail, const char *text) {
  bool good = strncmp(text, "skerry", 6) == 0 && strlen(text) < 200 && strstr(text, "..") == NULL &&
              strstr(text, "//") == NULL && strstr(text, "/.") == NULL && text[strlen(text) - 1] != '/' &&
              text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/-")] == '\0';
  if (!good) fail(jail, "usage", EINVAL, "--cgroup takes skerry.../NAME of letters, digits, '.', '_' and '-'");
  return text;
}

/* Of a profile or a context: no blank or control character, which would mean more to the kernel. */
static const char *policy_name(struct jail *jail, const char *option, const char *text) {
  size_t length = strlen(text);
  bool good = length > 0 && length <= 100 &&
              strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:,-") == length;
  if (!good) fail(jail, "usage", EINVAL, "%s takes at most 100 letters, digits and '._:,-'", option);
  return text;
}

static void set_option(struct jail *jail, const char *option, char *value) {
  struct options *o = &jail->options;
  const long long max_id = 4294967294LL; /* 2^32 - 1 means 'unchanged' to setresuid(2) */
  if (strcmp(option, "--dir") == 0) o->dir = absolute(jail, option, value);
  else if (strcmp(option, "--uid") == 0) o->uid = (uid_t)number(jail, option, value, 0, max_id), o->has_uid = true;
  else if (strcmp(option, "--gid") == 0) o->gid = (gid_t)number(jail, option, value, 0, max_id), o->has_gid = true;
  else if (strcmp(option, "--group") == 0) {
    if (o->group_count == MAX_GROUPS) fail(jail, "usage", E2BIG, "more than %d groups", MAX_GROUPS);
    o->groups[o->group_count++] = (gid_t)number(jail, option, value, 0, max_id);
  } else if (strcmp(option, "--cgroup") == 0) o->cgroup = cgroup_name(jail, value);
  else if (strcmp(option, "--cgroup-root") == 0) {
    o->cgroup_root = absolute(jail, option, value);
    if (strlen(value) > 200) fail(jail, "usage", ENAMETOOLONG, "--cgroup-root is too long");
  }
  else if (strcmp(option, "--memory-max") == 0) o->memory_max = number(jail, option, value, 1, LLONG_MAX);
  else if (strcmp(option, "--pids-max") == 0) o->pids_max = number(jail, option, value, 1, 4194304);
  else if (strcmp(option, "--cpu-max") == 0) o->cpu_max = number(jail, option, value, 1, 1000000);
  else if (strcmp(option, "--rlimit") == 0) add_rlimit(jail, value);
  else if (strcmp(option, "--huge-pages") == 0) o->no_huge_pages = number(jail, option, value, 0, 1) == 0;
  else if (strcmp(option, "--apparmor") == 0) o->apparmor = policy_name(jail, option, value);
  else if (strcmp(option, "--server-apparmor") == 0) o->server_apparmor = policy_name(jail, option, value);
  else if (strcmp(option, "--selinux") == 0) o->selinux = policy_name(jail, option, value);
  else if (strcmp(option, "--selinux-own") == 0) o->selinux_own = policy_name(jail, option, value);
  else if (strcmp(option, "--selinux-read") == 0) o->selinux_read = policy_name(jail, option, value);
  else if (strcmp(option, "--warning") == 0) warn(jail, "%s", value);
  else if (strcmp(option, "--nice") == 0) o->nice = (int)number(jail, option, value, -20, 19), o->has_nice = true;
  else if (strcmp(option, "--listen") == 0) add_descriptor(jail, option, value, 'l');
  else if (strcmp(option, "--open") == 0) add_descriptor(jail, option, value, 'f');
  else if (strcmp(option, "--share") == 0) add_descriptor(jail, option, value, 's');
  else if (strcmp(option, "--served") == 0) add_descriptor(jail, option, value, 'v');
  else if (strcmp(option, "--server") == 0) {
    if (o->server_arguments == MAX_SERVER_ARGUMENTS) fail(jail, "usage", E2BIG, "more than %d --server", MAX_SERVER_ARGUMENTS);
    o->server[o->server_arguments++] = value;
  }
  else if (strcmp(option, "--tap") == 0) add_descriptor(jail, option, value, 'i');
  else if (strcmp(option, "--object") == 0) add_descriptor(jail, option, value, 'm');
  else if (strcmp(option, "--take") == 0) add_descriptor(jail, option, value, 't');
  else if (strcmp(option, "--keep") == 0) {
    o->keep_path = absolute(jail, option, value);
    if (strlen(value) >= sizeof((struct sockaddr_un *)0)->sun_path)
      fail(jail, "usage", ENAMETOOLONG, "--keep takes a path of at most 107 bytes");
  }
  else if (strcmp(option, "--log") == 0) {
    o->log_cap = number(jail, option, cut_suffix(jail, option, value), 0, LLONG_MAX);
    o->log_path = absolute(jail, option, value);
  } else fail(jail, "usage", EINVAL, "unknown option '%s'", option);
}

void parse_options(struct jail *jail, int argc, char **argv) {
  struct options *o = &jail->options;
  o->memory_max = o->pids_max = o->cpu_max = -1;
  int i = 1;
  for (; i < argc && strcmp(argv[i], "--") != 0; i += 2) {
    if (i + 1 == argc) fail(jail, "usage", EINVAL, "'%s' lacks its value", argv[i]);
    set_option(jail, argv[i], argv[i + 1]);
  }
  if (i + 1 >= argc) fail(jail, "usage", EINVAL, "no command after '--'");
  if (o->dir == NULL) fail(jail, "usage", EINVAL, "--dir is missing");
  if (o->has_uid != o->has_gid) fail(jail, "usage", EINVAL, "--uid and --gid go together");
  if (o->group_count > 0 && !o->has_uid) fail(jail, "usage", EINVAL, "--group needs --uid");
  o->argv = argv + i + 1;
}
