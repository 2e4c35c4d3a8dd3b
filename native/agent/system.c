/* mount, unmount and stats. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "agent.h"

static const struct {
  const char *name;
  unsigned long flag;
} MOUNT_FLAGS[] = {
    {"ro", MS_RDONLY},     {"nosuid", MS_NOSUID}, {"nodev", MS_NODEV},       {"noexec", MS_NOEXEC}, {"noatime", MS_NOATIME},
    {"relatime", MS_RELATIME}, {"sync", MS_SYNCHRONOUS}, {"bind", MS_BIND}, {"rbind", MS_BIND | MS_REC}, {"rw", 0},
    {"remount", MS_REMOUNT},
};

/* Takes the flags out of a comma-separated list; what is left is for the file system. */
static unsigned long take_flags(char *options) {
  unsigned long flags = 0;
  char *keep = options, *rest = options, *word;
  while (rest != NULL && (word = strsep(&rest, ",")) != NULL) {
    bool known = false;
    for (size_t i = 0; i < sizeof(MOUNT_FLAGS) / sizeof(MOUNT_FLAGS[0]); i++) {
      if (strcmp(word, MOUNT_FLAGS[i].name) != 0) continue;
      flags |= MOUNT_FLAGS[i].flag;
      known = true;
    }
    if (known || *word == 0) continue;
    size_t len = strlen(word);
    if (keep > options) *keep++ = ',';
    memmove(keep, word, len);
    keep += len;
  }
  *keep = 0;
  return flags;
}

void op_mount(uint32_t id, struct tlvs *values) {
  char *source = NULL, *target = NULL, *fstype = NULL, *options = NULL;
  struct tlv v;
  while (tlv_next(values, &v)) {
    char **to = v.tag == TAG_SOURCE    ? &source
                : v.tag == TAG_TARGET  ? &target
                : v.tag == TAG_FSTYPE  ? &fstype
                : v.tag == TAG_OPTIONS ? &options
                                       : NULL;
    if (to != NULL && *to == NULL) *to = tlv_string(&v);
  }
  if (source == NULL || target == NULL || target[0] != '/') {
    reply_fail(id, EINVAL, "a source and an absolute target are needed");
  } else {
    unsigned long flags = options == NULL ? 0 : take_flags(options);
    int error = make_parents(target);
    if (error == 0 && mkdir(target, 0755) < 0 && errno != EEXIST) error = errno;
    if (error == 0 && mount(source, target, fstype, flags, options) < 0) error = errno;
    if (error != 0) reply_fail(id, error, "mount %s on %s: %s", source, target, strerror(error));
    else reply_close(id, NULL);
  }
  free(source);
  free(target);
  free(fstype);
  free(options);
}

void op_unmount(uint32_t id, struct tlvs *values) {
  char *target = NULL;
  struct tlv v;
  while (tlv_next(values, &v)) {
    if (v.tag == TAG_TARGET && target == NULL) target = tlv_string(&v);
  }
  if (target == NULL) reply_fail(id, EINVAL, "a target is needed");
  else if (umount2(target, 0) < 0) reply_fail(id, errno, "unmount %s: %s", target, strerror(errno));
  else reply_close(id, NULL);
  free(target);
}

static uint64_t after(const char *text, const char *name) {
  const char *at = text == NULL ? NULL : strstr(text, name);
  return at == NULL ? 0 : strtoull(at + strlen(name), NULL, 10);
}

/* The first line of /proc/stat: cpu user nice system idle iowait irq softirq steal, in ticks of USER_HZ. */
static void add_cpu(struct bytes *result) {
  char *text = read_file("/proc/stat", 64 * 1024, NULL), *at = text == NULL ? NULL : text + 3;
  uint64_t ticks[8] = {0}, tick_ms = (uint64_t)(1000 / sysconf(_SC_CLK_TCK));
  for (int i = 0; at != NULL && i < 8; i++) ticks[i] = strtoull(at, &at, 10);
  free(text);
  bytes_u64(result, TAG_CPU_BUSY_MS, (ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6]) * tick_ms);
  bytes_u64(result, TAG_CPU_IDLE_MS, (ticks[3] + ticks[4]) * tick_ms);
}

void op_stats(uint32_t id, struct tlvs *values) {
  struct bytes result = {0};
  struct sysinfo info;
  struct statvfs disk;
  char *memory = read_file("/proc/meminfo", 64 * 1024, NULL);
  (void)values;
  sysinfo(&info);
  bytes_u64(&result, TAG_MEMORY_TOTAL_KIB, after(memory, "MemTotal:"));
  bytes_u64(&result, TAG_MEMORY_FREE_KIB, after(memory, "MemFree:"));
  bytes_u64(&result, TAG_MEMORY_AVAILABLE_KIB, after(memory, "MemAvailable:"));
  free(memory);
  for (int i = 0; i < 3; i++) bytes_u32(&result, TAG_LOAD_MILLI, (uint32_t)((info.loads[i] * 1000) >> SI_LOAD_SHIFT));
  bytes_u64(&result, TAG_UPTIME_MS, boot_us() / 1000);
  bytes_u32(&result, TAG_PROCESSES, info.procs);
  add_cpu(&result);
  if (statvfs("/", &disk) == 0) {
    bytes_u64(&result, TAG_DISK_TOTAL_KIB, (uint64_t)disk.f_blocks * disk.f_frsize / 1024);
    bytes_u64(&result, TAG_DISK_FREE_KIB, (uint64_t)disk.f_bavail * disk.f_frsize / 1024);
  }
  reply_close(id, &result);
  bytes_free(&result);
}
