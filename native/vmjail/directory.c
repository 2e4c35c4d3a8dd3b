/*
 * The VM's directory: its lock, and the files that tell others about the run.
 *   lock       flock'ed while we live
 *   alive      FIFO that we hold open for writing: a reader gets end-of-file when we end, whatever ended us
 *   pid        the ready line; exit.json: how the child ended
 */
#include "vmjail.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define EXIT_TEMPORARY ".exit.json.new"
#define PID_TEMPORARY ".pid.new"
#define FINISHING_MS 2000 /* an earlier vmjail that has written exit.json has this long to be gone */
#define ORPHAN_MS 5000    /* a killed QEMU with much memory takes a while to be gone */

static void pause_ms(long ms) {
  struct timespec time = {ms / 1000, (ms % 1000) * 1000000};
  nanosleep(&time, NULL);
}

long long now_ms(void) {
  struct timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  return (long long)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* Reads a small file whole; returns false if it can't. */
static bool read_small(int dir_fd, const char *path, char *text, size_t size) {
  int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return false;
  ssize_t length = read(fd, text, size - 1);
  close(fd);
  if (length <= 0) return false;
  text[length] = '\0';
  return true;
}

/* Field 22 of /proc/PID/stat, proc(5): with the pid it names one process of this boot. 0: there is none. */
unsigned long long process_start_time(pid_t pid, char *state) {
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  if (!read_small(AT_FDCWD, path, text, sizeof text)) return 0;
  char *at = strrchr(text, ')'); /* the name, field 2, may hold anything, also ')' and spaces */
  if (at == NULL || at[1] != ' ') return 0;
  if (state != NULL) *state = at[2];
  for (int field = 2; field < 22 && at != NULL; field++) at = strchr(at + 1, ' ');
  return at == NULL ? 0 : strtoull(at + 1, NULL, 10);
}

void lock_directory(struct jail *jail) {
  const char *dir = jail->options.dir;
  jail->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (jail->dir_fd < 0) fail(jail, "lock", errno, "cannot open the directory %s", dir);
  int fd = openat(jail->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) fail(jail, "lock", errno, "cannot open %s/lock", dir);
  for (int waited_ms = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; waited_ms += 5) {
    if (errno != EWOULDBLOCK) fail(jail, "lock", errno, "cannot lock %s", dir);
    /* exit.json is there: its holder is about to end, or has not got far enough to remove an older one. */
    bool finishing = faccessat(jail->dir_fd, "exit.json", F_OK, 0) == 0;
    if (!finishing || waited_ms >= FINISHING_MS) fail(jail, "lock", EWOULDBLOCK, "the VM in %s is running", dir);
    pause_ms(5);
  }
  jail->lock_fd = fd;
  if (!read_small(AT_FDCWD, "/proc/sys/kernel/random/boot_id", jail->boot_id, sizeof jail->boot_id))
    fail(jail, "lock", errno, "cannot read the boot id");
  jail->boot_id[strcspn(jail->boot_id, "\n")] = '\0';
  jail->own_start_time = process_start_time(getpid(), NULL);
}

/*
 * We hold the lock, so a process that an earlier run's pid file names has lost its vmjail: it is being killed by its
 * PR_SET_PDEATHSIG. Its disk may not be opened again before it is gone.
 */
void take_over_leftover(struct jail *jail) {
  char text[4096];
  int pid;
  unsigned long long start_time;
  if (!read_small(jail->dir_fd, "pid", text, sizeof text)) return;
  if (sscanf(text, "{\"ready\":true,\"pid\":%d,\"startTime\":\"%llu\"", &pid, &start_time) != 2 || pid <= 1) return;
  if (strstr(text, jail->boot_id) == NULL) return; /* of an earlier boot: the pid is somebody else's by now */
  for (int waited_ms = 0; waited_ms < ORPHAN_MS; waited_ms += 10) {
    char state = 'Z';
    if (process_start_time(pid, &state) != start_time || state == 'Z' || state == 'X') return;
    kill(pid, SIGKILL);
    pause_ms(10);
  }
  fail(jail, "lock", EBUSY, "process %d of an earlier run cannot be killed", pid);
}

void open_state_files(struct jail *jail) {
  /* A new FIFO each time: who still reads the old one must get its end-of-file. */
  unlinkat(jail->dir_fd, "alive", 0);
  if (mkfifoat(jail->dir_fd, "alive", 0600) < 0) fail(jail, "open", errno, "cannot make %s/alive", jail->options.dir);
  /* O_RDWR does not wait for a reader, fifo(7). */
  jail->alive_fd = openat(jail->dir_fd, "alive", O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
  if (jail->alive_fd < 0) fail(jail, "open", errno, "cannot open %s/alive", jail->options.dir);
  /* A full disk is a likely reason to end: the room to say so is taken beforehand. Not every file system can. */
  jail->exit_fd = openat(jail->dir_fd, EXIT_TEMPORARY, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (jail->exit_fd < 0) fail(jail, "open", errno, "cannot make a file in %s", jail->options.dir);
  if (fallocate(jail->exit_fd, 0, 0, 16384) < 0 && errno == ENOSPC)
    fail(jail, "open", ENOSPC, "no room in %s", jail->options.dir);
}

static bool write_all(int fd, const char *text, size_t length) {
  while (length > 0) {
    ssize_t written = write(fd, text, length);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    text += written;
    length -= (size_t)written;
  }
  return true;
}

/* The ready line, into DIR/pid and to stdout. Not synced: after a crash of the host no pid in it is true any more. */
void write_ready(struct jail *jail) {
  char *text = NULL;
  size_t length = 0;
  FILE *out = open_memstream(&text, &length);
  if (out == NULL) fail(jail, "exec", errno, "no memory");
  /* take_over_leftover() reads the first two members. */
  fprintf(out, "{\"ready\":true,\"pid\":%d,\"startTime\":\"%llu\",\"jailPid\":%d,\"jailStartTime\":\"%llu\"", (int)jail->child,
          jail->start_time, (int)getpid(), jail->own_start_time);
  fprintf(out, ",\"bootId\":\"%s\",\"startedAt\":%lld,\"warnings\":[", jail->boot_id, jail->started_at_ms);
  for (int i = 0; i < jail->warning_count; i++) {
    if (i > 0) fputc(',', out);
    json_string(out, jail->warnings[i], strlen(jail->warnings[i]));
  }
  /* What QEMU is told of over QMP later: the numbers are the child's. */
  fputs("],\"fds\":{", out);
  const char *comma = "";
  for (int i = 0; i < jail->options.descriptor_count; i++) {
    const struct descriptor *descriptor = &jail->options.descriptors[i];
    if (descriptor->mode != 't') continue;
    fprintf(out, "%s\"%s\":%d", comma, descriptor->name, descriptor->fd);
    comma = ",";
  }
  fputs("}}\n", out);
  fclose(out);
  unlinkat(jail->dir_fd, "exit.json", 0); /* the earlier run's; only now, as a failed start leaves it */
  int fd = openat(jail->dir_fd, PID_TEMPORARY, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  bool good = fd >= 0 && write_all(fd, text, length) && renameat(jail->dir_fd, PID_TEMPORARY, jail->dir_fd, "pid") == 0;
  int error = errno;
  if (fd >= 0) close(fd);
  if (!good) {
    free(text);
    fail(jail, "exec", error, "cannot write %s/pid", jail->options.dir);
  }
  write_all(STDOUT_FILENO, text, length); /* whoever started us may be dead already: the VM goes on */
  free(text);
}

static const char *signal_name(int signal_number) {
  static const struct { int number; const char *name; } names[] = {
    {SIGHUP, "SIGHUP"}, {SIGINT, "SIGINT"}, {SIGQUIT, "SIGQUIT"}, {SIGILL, "SIGILL"}, {SIGTRAP, "SIGTRAP"},
    {SIGABRT, "SIGABRT"}, {SIGBUS, "SIGBUS"}, {SIGFPE, "SIGFPE"}, {SIGKILL, "SIGKILL"}, {SIGUSR1, "SIGUSR1"},
    {SIGSEGV, "SIGSEGV"}, {SIGUSR2, "SIGUSR2"}, {SIGPIPE, "SIGPIPE"}, {SIGALRM, "SIGALRM"}, {SIGTERM, "SIGTERM"},
    {SIGXCPU, "SIGXCPU"}, {SIGXFSZ, "SIGXFSZ"}, {SIGSYS, "SIGSYS"},
  };
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    if (names[i].number == signal_number) return names[i].name;
  return "SIGUNKNOWN";
}

void write_exit(struct jail *jail, int status, long max_rss_kib) {
  char *text = NULL, tail[TAIL_BYTES];
  size_t length = 0;
  size_t tail_length = jail->tail_total < TAIL_BYTES ? jail->tail_total : TAIL_BYTES;
  for (size_t i = 0; i < tail_length; i++) tail[i] = jail->tail[(jail->tail_total - tail_length + i) % TAIL_BYTES];
  FILE *out = open_memstream(&text, &length);
  if (out == NULL) return;
  fprintf(out, "{\"version\":1,\"pid\":%d,\"startTime\":\"%llu\"", (int)jail->child, jail->start_time);
  if (WIFEXITED(status)) fprintf(out, ",\"code\":%d,\"signal\":null", WEXITSTATUS(status));
  else fprintf(out, ",\"code\":null,\"signal\":\"%s\"", signal_name(WTERMSIG(status)));
  fprintf(out, ",\"startedAt\":%lld,\"endedAt\":%lld,\"maxRssKib\":%ld,\"stderrTail\":", jail->started_at_ms, now_ms(),
          max_rss_kib);
  json_string(out, tail, tail_length);
  if (jail->ran_out_of_memory) fputs(",\"ranOutOfMemory\":true", out);
  fputs("}\n", out);
  fclose(out);
  if (write_all(jail->exit_fd, text, length) && ftruncate(jail->exit_fd, (off_t)length) == 0 && fsync(jail->exit_fd) == 0 &&
      renameat(jail->dir_fd, EXIT_TEMPORARY, jail->dir_fd, "exit.json") == 0)
    fsync(jail->dir_fd);
  free(text);
}

/* The pid file last: a reader that finds it looks whether we live. Before open_state_files() nothing of it is ours. */
void remove_state_files(struct jail *jail) {
  if (jail->alive_fd < 0) return;
  unlinkat(jail->dir_fd, EXIT_TEMPORARY, 0);
  unlinkat(jail->dir_fd, PID_TEMPORARY, 0);
  unlinkat(jail->dir_fd, "alive", 0);
  unlinkat(jail->dir_fd, "pid", 0);
}
