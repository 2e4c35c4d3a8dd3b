/* Forks the child, confines it and executes it; learns from the child itself which step failed, if one did. */
#include "vmjail.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct failure { char step[8]; int error; };

_Noreturn void fail_step(int channel, const char *step) {
  struct failure failure = {.error = errno};
  strncpy(failure.step, step, sizeof failure.step - 1);
  if (write(channel, &failure, sizeof failure) < 0) _exit(126);
  _exit(127);
}

/* ARGUMENT with every '{NAME}' of a descriptor replaced by its number; other braces stay. */
static char *with_numbers(const struct options *options, const char *argument) {
  char *text = NULL;
  size_t length = 0;
  FILE *out = open_memstream(&text, &length);
  if (out == NULL) return NULL;
  while (*argument != '\0') {
    const struct descriptor *match = NULL;
    for (int i = 0; *argument == '{' && i < options->descriptor_count; i++) {
      size_t name_length = strlen(options->descriptors[i].name);
      if (strncmp(argument + 1, options->descriptors[i].name, name_length) == 0 && argument[1 + name_length] == '}')
        match = &options->descriptors[i];
    }
    if (match == NULL) fputc(*argument++, out);
    else {
      fprintf(out, "%d", match->fd);
      argument += strlen(match->name) + 2;
    }
  }
  return fclose(out) == 0 ? text : NULL;
}

static void set_limits(const struct options *options, int channel) {
  struct rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none); /* a core file would hold the guest's memory */
  for (int i = 0; i < options->rlimit_count; i++) {
    struct rlimit limit = {options->rlimits[i].value, options->rlimits[i].value};
    if (setrlimit(options->rlimits[i].resource, &limit) < 0) fail_step(channel, "rlimit");
    /* Past its file size the guest gets an I/O error; the signal would end the VM. */
    if (options->rlimits[i].resource == RLIMIT_FSIZE) signal(SIGXFSZ, SIG_IGN);
  }
  /* A kernel without them needs no telling. */
  if (options->no_huge_pages) prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
  if (options->has_nice && setpriority(PRIO_PROCESS, 0, options->nice) < 0) fail_step(channel, "nice");
}

static void drop_rights(const struct options *options, int channel) {
  if (options->has_uid && geteuid() == 0) {
    if (setgroups((size_t)options->group_count, options->groups) < 0 ||
        setresgid(options->gid, options->gid, options->gid) < 0 ||
        setresuid(options->uid, options->uid, options->uid) < 0)
      fail_step(channel, "uid");
  } else if (options->has_uid && (options->uid != geteuid() || options->gid != getegid())) {
    errno = EPERM;
    fail_step(channel, "uid");
  }
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) fail_step(channel, "uid");
}

/* The VM's process: with all that was opened for it. */
static void confine_child(struct jail *jail, const struct descriptor *none, int channel) {
  const struct options *options = &jail->options;
  (void)none;
  set_limits(options, channel);
  if (!take_policy(options)) fail_step(channel, "policy");
  drop_rights(options, channel);
  if (options->has_shares && !forbid_set_id()) fail_step(channel, "share");
  for (int i = 0; i < options->descriptor_count; i++) fcntl(options->descriptors[i].fd, F_SETFD, 0);
}

static _Noreturn void become(struct jail *jail, bool is_in, int channel, char **argv, pid_t parent, confine *confine,
                             const struct descriptor *served) {
  bool entered = is_in || enter_cgroup(jail);
  char go;
  if (write(channel, &entered, 1) != 1) _exit(127);
  if (read(channel, &go, 1) != 1) _exit(127);
  setsid(); /* a group of its own: what it starts is ended with it */
  if (dup2(jail->output_in, STDOUT_FILENO) < 0 || dup2(jail->output_in, STDERR_FILENO) < 0) fail_step(channel, "exec");
  /* SIGHUP asks who knows it to read its files anew: dnsmasq was ended by one that came before it had said that it does. */
  for (int i = 1; i < NSIG; i++) signal(i, i == SIGHUP ? SIG_IGN : SIG_DFL);
  confine(jail, served, channel);
  /* After the uid: changing it clears this, prctl(2). The VM does not outlive us, or nobody could tell how it ended. */
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0) fail_step(channel, "exec");
  if (getppid() != parent) _exit(127);
  sigset_t nothing;
  sigemptyset(&nothing);
  sigprocmask(SIG_SETMASK, &nothing, NULL);
  execvp(argv[0], argv);
  fail_step(channel, "exec");
}

/* The pipe that all that we start writes to. */
void open_output(struct jail *jail) {
  int output[2];
  if (pipe2(output, O_CLOEXEC) < 0) fail(jail, "exec", errno, "cannot make a pipe");
  jail->output_fd = output[0];
  jail->output_in = output[1];
  fcntl(output[0], F_SETFL, O_NONBLOCK);
}

void spawn(struct jail *jail, pid_t *pid, char **argv, confine *confine, const struct descriptor *served) {
  int channel[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) < 0) fail(jail, "exec", errno, "cannot make a pipe");
  bool is_in;
  pid_t self = getpid();
  *pid = fork_into_cgroup(jail, &is_in);
  if (*pid < 0) fail(jail, "exec", errno, "cannot fork");
  if (*pid == 0) {
    close(channel[0]);
    become(jail, is_in, channel[1], argv, self, confine, served);
  }
  close(channel[1]);
  if (read(channel[0], &is_in, 1) != 1) fail(jail, "exec", errno, "the child ended early");
  if (!is_in) join_cgroup(jail, *pid);
  struct failure failure = {.step = "exec", .error = ESRCH};
  char go = 1;
  if (write(channel[0], &go, 1) != 1) fail(jail, "exec", errno, "the child ended early");
  ssize_t length;
  do length = read(channel[0], &failure, sizeof failure); /* end-of-file: closed by a successful exec */
  while (length < 0 && errno == EINTR);
  if (length != 0) fail(jail, failure.step, failure.error, "cannot start %s", argv[0]);
  close(channel[0]);
}

void start_child(struct jail *jail) {
  int count = 0;
  while (jail->options.argv[count] != NULL) count++;
  char **argv = calloc((size_t)count + 1, sizeof *argv);
  for (int i = 0; argv != NULL && i < count; i++)
    if ((argv[i] = with_numbers(&jail->options, jail->options.argv[i])) == NULL) fail(jail, "exec", ENOMEM, "no memory");
  if (argv == NULL) fail(jail, "exec", ENOMEM, "no memory");
  spawn(jail, &jail->child, argv, confine_child, NULL);
  close(jail->output_in);
  for (int i = 0; i < count; i++) free(argv[i]);
  free(argv);
  jail->started_at_ms = now_ms();
  jail->start_time = process_start_time(jail->child, NULL);
  /* A listener that we held on to would accept connections for a child that has gone. */
  for (int i = 0; i < jail->options.descriptor_count; i++) {
    const struct descriptor *descriptor = &jail->options.descriptors[i];
    if (descriptor->mode != 'm' || jail->keep_fd < 0) close(descriptor->fd);
  }
}
