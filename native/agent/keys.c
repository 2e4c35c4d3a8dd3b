/* The ssh server's keys: those that came with an image, or with the machine that this one is a fork of, are others' as well. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"

/* Removes DIR/PREFIX*. @returns false without DIR: there is no such server */
static bool remove_keys(const char *dir, const char *prefix) {
  struct dirent *entry;
  char none[1];
  /* Mostly there is none; a clone has just read links, and opening would cost it the first use of another call. */
  if (readlink(dir, none, sizeof(none)) < 0 && errno == ENOENT) return false;
  DIR *d = opendir(dir);
  if (d == NULL) return false;
  while ((entry = readdir(d)) != NULL) {
    char path[512];
    if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0) continue;
    snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
    unlink(path);
  }
  closedir(d);
  return access(dir, W_OK) == 0;
}

/* Waits: the key has to be there before anything of the user's runs. Ed25519, as an RSA key takes seconds under emulation. */
static void run(char *const *argv) {
  static char *const env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};
  int status;
  pid_t pid = vfork();
  if (pid == 0) {
    execve(argv[0], argv, env);
    _exit(127);
  }
  if (pid < 0) return;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR);
  if (status != 0) say("skerry-agent: %s failed (status %d)", argv[0], status);
}

void fresh_keys(void) {
  static char *const openssh[] = {"/usr/bin/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/etc/ssh/ssh_host_ed25519_key", NULL};
  static char *const dropbear[] = {"/usr/bin/dropbearkey", "-t", "ed25519", "-f", "/etc/dropbear/dropbear_ed25519_host_key", NULL};
  if (remove_keys("/etc/ssh", "ssh_host_") && access(openssh[0], X_OK) == 0) run(openssh);
  if (remove_keys("/etc/dropbear", "dropbear_") && access(dropbear[0], X_OK) == 0) run(dropbear);
}
