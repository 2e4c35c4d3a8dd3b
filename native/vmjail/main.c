#include "vmjail.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

/* SIGTERM and SIGCHLD come through a descriptor; what a closing terminal or a dead launcher sends does not reach us. */
static int take_signals(void) {
  sigset_t handled;
  signal(SIGHUP, SIG_IGN);
  signal(SIGINT, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGCHLD, SIG_DFL); /* ignored, as a launcher may leave it, children could not be waited for */
  sigemptyset(&handled);
  sigaddset(&handled, SIGTERM);
  sigaddset(&handled, SIGCHLD);
  sigprocmask(SIG_SETMASK, &handled, NULL);
  return signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK);
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "--tsc-khz") == 0) return print_tsc_khz();
  if (argc >= 4 && strcmp(argv[1], "--qmp") == 0) return hand_over(argc, argv, false);
  if (argc >= 7 && strcmp(argv[1], "--lease") == 0) return lease(argc, argv);
  if (argc >= 5 && strcmp(argv[1], "--after") == 0) return after(argc, argv);
  if (argc >= 5 && strcmp(argv[1], "--check-share") == 0) return check_share(argc, argv);
  if (argc >= 3 && strcmp(argv[1], "--relay") == 0) return relay(argc, argv);
  if (argc >= 3 && strcmp(argv[1], "--capture") == 0) return capture(argc, argv);
  if (argc == 2 && strcmp(argv[1], "--wait") == 0) wait_for_arguments();
  static struct jail jail = {
    .dir_fd = -1, .lock_fd = -1, .alive_fd = -1, .exit_fd = -1, .log_fd = -1, .output_fd = -1, .output_in = -1,
    .keep_fd = -1};
  close_inherited();
  umask(077);
  setsid();
  jail.signal_fd = take_signals();
  parse_options(&jail, argc, argv);
  if (chdir("/") < 0) return EXIT_SETUP;
  lock_directory(&jail);
  take_over_leftover(&jail);
  open_state_files(&jail);
  open_descriptors(&jail);
  make_cgroup(&jail);
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  dup2(null, STDIN_FILENO);
  open_output(&jail);
  start_servers(&jail);
  start_child(&jail);
  write_ready(&jail);
  /* From here on nobody listens to us, and a pipe that we kept would hold its reader. */
  dup2(null, STDOUT_FILENO);
  dup2(null, STDERR_FILENO);
  close(null);
  return supervise(&jail);
}
