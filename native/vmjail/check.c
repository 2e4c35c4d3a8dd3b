/* Whether a directory could be shared with a child of some user; says why not, as a failed start does. Nothing of it stays. */
#include "vmjail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A server that has begun ends well when its other end goes away. */
static int check_server(struct jail *jail, struct descriptor *descriptor) {
  char place[] = "/tmp/skerry-check-XXXXXX";
  int status = 0;
  if (mkdtemp(place) == NULL) fail(jail, "open", errno, "cannot make a directory in /tmp");
  jail->dir_fd = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  open_served(jail, descriptor);
  rmdir(place);
  open_output(jail);
  start_servers(jail);
  close(descriptor->fd);
  close(jail->output_in);
  while (waitpid(jail->servers[0].pid, &status, 0) < 0 && errno == EINTR) continue;
  jail->servers[0].pid = 0;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return 0;
  char text[301];
  ssize_t length = read(jail->output_fd, text, sizeof text - 1);
  text[length > 0 ? length : 0] = '\0';
  text[strcspn(text, "\n")] = '\0';
  fail(jail, "server", EPROTO, "%s can not serve a directory here: %s", jail->options.server[0], text);
}

/* --check-share UID GID PATH [SERVER ARGUMENT...] */
int check_share(int argc, char **argv) {
  static struct jail jail = {
    .dir_fd = -1, .lock_fd = -1, .alive_fd = -1, .exit_fd = -1, .log_fd = -1, .output_fd = -1, .output_in = -1, .keep_fd = -1};
  struct options *options = &jail.options;
  struct descriptor *descriptor = &options->descriptors[0];
  *descriptor = (struct descriptor){.name = "share", .path = argv[4], .fd = -1, .mode = 'v', .readonly = true};
  options->uid = (uid_t)strtoul(argv[2], NULL, 10);
  options->gid = (gid_t)strtoul(argv[3], NULL, 10);
  options->has_uid = true;
  options->descriptor_count = 1;
  for (int i = 5; i < argc && options->server_arguments < MAX_SERVER_ARGUMENTS; i++)
    options->server[options->server_arguments++] = argv[i];
  if (options->server_arguments > 0) return check_server(&jail, descriptor);
  open_share(&jail, descriptor);
  return 0;
}
