/* Starting a command. vfork: the child borrows our memory until it executes, which spares copying page tables. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent.h"

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define MAX_ENV 1024

static char **common_env; /* of the identity: for every later command */
static size_t common_envc;

static bool list_add(char ***list, size_t *count, char *value) {
  if (value == NULL || *count >= 8192) {
    free(value);
    return false;
  }
  /* Room in steps of 16, and always for the NULL at the end. */
  if (*count % 16 == 0) {
    char **grown = realloc(*list, (*count + 17) * sizeof(*grown));
    if (grown == NULL) {
      free(value);
      return false;
    }
    *list = grown;
  }
  (*list)[(*count)++] = value;
  (*list)[*count] = NULL;
  return true;
}

static void list_free(char **list, size_t count) {
  for (size_t i = 0; i < count; i++) free(list[i]);
  free(list);
}

bool command_take(struct command *c, const struct tlv *v) {
  switch (v->tag) {
    case TAG_ARG:
      list_add(&c->argv, &c->argc, tlv_string(v));
      return true;
    case TAG_ENV:
      list_add(&c->env, &c->envc, tlv_string(v));
      return true;
    case TAG_CWD:
      free(c->cwd);
      c->cwd = tlv_string(v);
      return true;
    case TAG_USER:
      free(c->user);
      c->user = tlv_string(v);
      return true;
    default:
      return false;
  }
}

void command_free(struct command *c) {
  list_free(c->argv, c->argc);
  list_free(c->env, c->envc);
  free(c->cwd);
  free(c->user);
  *c = (struct command){0};
}

int set_common_env(struct tlvs *values) {
  struct tlv v;
  char **env = NULL;
  size_t count = 0;
  while (tlv_next(values, &v)) {
    if (v.tag == TAG_ENV && !list_add(&env, &count, tlv_string(&v))) {
      list_free(env, count);
      return EINVAL;
    }
  }
  list_free(common_env, common_envc);
  common_env = env;
  common_envc = count;
  return 0;
}

static size_t name_length(const char *entry) {
  const char *equals = strchr(entry, '=');
  return equals == NULL ? strlen(entry) : (size_t)(equals - entry);
}

/* Later ones replace earlier ones of the same name. */
static void env_set(char **env, size_t *count, char *entry) {
  size_t len = name_length(entry);
  for (size_t i = 0; i < *count; i++) {
    if (name_length(env[i]) == len && memcmp(env[i], entry, len) == 0) {
      env[i] = entry;
      return;
    }
  }
  if (*count < MAX_ENV) env[(*count)++] = entry;
}

static const char *env_value(char **env, const char *name) {
  size_t len = strlen(name);
  for (; *env != NULL; env++) {
    if (strncmp(*env, name, len) == 0 && (*env)[len] == '=') return *env + len + 1;
  }
  return "";
}

struct plan {
  char *env[MAX_ENV + 1];
  char home[300], name[80], logname[80], shell[160];
  struct user user;
  bool change_user;
};
static struct plan plan; /* static: too large for a stack that a child shares */

static int make_plan(const struct command *c, bool tty) {
  size_t count = 0;
  struct user *user = &plan.user;
  *user = (struct user){.name = "root", .home = "/root", .shell = "/bin/sh"};
  plan.change_user = c->user != NULL;
  if (c->user != NULL) {
    int error = user_find(c->user, user);
    if (error != 0) return error;
    /* Where we run as an ordinary user, asking for oneself needs no right. */
    if (user->uid == geteuid() && geteuid() != 0) plan.change_user = false;
  }
  snprintf(plan.home, sizeof(plan.home), "HOME=%s", user->home);
  snprintf(plan.name, sizeof(plan.name), "USER=%s", user->name);
  snprintf(plan.logname, sizeof(plan.logname), "LOGNAME=%s", user->name);
  snprintf(plan.shell, sizeof(plan.shell), "SHELL=%s", user->shell[0] == 0 ? "/bin/sh" : user->shell);
  env_set(plan.env, &count, DEFAULT_PATH);
  env_set(plan.env, &count, plan.home);
  env_set(plan.env, &count, plan.name);
  env_set(plan.env, &count, plan.logname);
  env_set(plan.env, &count, plan.shell);
  if (tty) env_set(plan.env, &count, "TERM=xterm-256color");
  for (size_t i = 0; i < common_envc; i++) env_set(plan.env, &count, common_env[i]);
  for (size_t i = 0; i < c->envc; i++) env_set(plan.env, &count, c->env[i]);
  plan.env[count] = NULL;
  return 0;
}

static void execute(const char *file, char **argv, char **env) {
  if (strchr(file, '/') != NULL) {
    execve(file, argv, env);
    return;
  }
  char path[4096];
  int error = ENOENT;
  const char *dirs = env_value(env, "PATH");
  while (*dirs != 0) {
    size_t len = strcspn(dirs, ":");
    int n = snprintf(path, sizeof(path), "%.*s%s%s", (int)len, dirs, len == 0 ? "./" : "/", file);
    if (n > 0 && (size_t)n < sizeof(path)) {
      execve(path, argv, env);
      if (errno != ENOENT && errno != ENOTDIR) error = errno;
    }
    dirs += len;
    if (*dirs == ':') dirs++;
  }
  errno = error;
}

static void fail_child(struct spawn *sp, const char *step) {
  sp->error = errno;
  sp->step = step;
  _exit(127);
}

static void run_child(struct spawn *sp) {
  const struct command *c = sp->command;
  const struct user *user = &plan.user;
  sigset_t none;
  setsid();
  for (int i = 0; i < 3; i++) {
    /* Ours are all above 2 and close on exec; dup2 clears that flag on the copy. */
    if (dup2(sp->fds[i], i) < 0) fail_child(sp, "redirect");
  }
  if (sp->tty) ioctl(0, TIOCSCTTY, 0);
  if (plan.change_user) {
    /* The bare calls: the C library's would signal threads, of which there are none. */
    if (syscall(SYS_setgroups, user->group_count, user->groups) < 0 || syscall(SYS_setgid, user->gid) < 0 ||
        syscall(SYS_setuid, user->uid) < 0) {
      fail_child(sp, "user");
    }
  }
  if (c->cwd != NULL && chdir(c->cwd) < 0) fail_child(sp, "cwd");
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  execute(c->argv[0], c->argv, plan.env);
  fail_child(sp, "exec");
}

/*
 * vfork into a control group (clone3(2), Linux 5.7): joining it afterwards would wait for an RCU grace period. The bare
 * instruction, because the child returns on our stack: a wrapper's return address would be gone when we go on.
 */
static inline __attribute__((always_inline)) pid_t clone_into(int cgroup) {
#ifdef __x86_64__
  struct {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
  } args = {.flags = 0x200000100ull /* CLONE_INTO_CGROUP | CLONE_VM */ | 0x4000ull /* CLONE_VFORK */,
            .exit_signal = SIGCHLD,
            .cgroup = (uint64_t)cgroup};
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "0"(435L /* clone3 */), "D"(&args), "S"(sizeof(args)) : "rcx", "r11", "memory");
  return (pid_t)result;
#else
  (void)cgroup;
  return -ENOSYS;
#endif
}

int spawn(struct spawn *sp) {
  sp->pid = -1;
  sp->step = "user";
  sp->error = make_plan(sp->command, sp->tty);
  if (sp->error != 0) return sp->error;
  if (plan.change_user) {
    /* So that the command may open /dev/stdout again. Not for /dev/null, which is everybody's. */
    for (int i = 0; i < 3; i++) {
      struct stat st;
      if (fstat(sp->fds[i], &st) == 0 && (S_ISFIFO(st.st_mode) || sp->tty)) {
        if (fchown(sp->fds[i], plan.user.uid, plan.user.gid) < 0) continue;
      }
    }
  }
  if (freezer_frozen()) {
    sp->error = EBUSY;
    sp->step = "frozen";
    return sp->error;
  }
  pid_t pid = freezer_fd() < 0 ? -ENOSYS : clone_into(freezer_fd());
  if (pid < 0) pid = vfork();
  if (pid == 0) run_child(sp);
  if (pid < 0) {
    sp->error = errno;
    sp->step = "fork";
    return sp->error;
  }
  /* After a failure in the child its pid is reaped like any other. */
  sp->pid = sp->error == 0 ? pid : -1;
  return sp->error;
}
