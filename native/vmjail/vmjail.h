/*
 * vmjail: the parent of one VM process. It locks the VM's directory, binds its sockets, opens its files, confines it,
 * starts it, waits, and leaves behind how it ended. Everything that a failed start made is taken back by fail().
 */
#ifndef VMJAIL_H
#define VMJAIL_H

#define _GNU_SOURCE
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/types.h>

#define MAX_DESCRIPTORS 256
#define MAX_GROUPS 32
#define MAX_RLIMITS 16
#define MAX_WARNINGS 16
#define MAX_PEERS 32
#define MAX_SERVERS 16
#define MAX_SERVER_ARGUMENTS 32
#define TAIL_BYTES 2048

/* Exit codes, after sysexits.h: what the launcher tells apart without reading the error line. */
#define EXIT_USAGE 64
#define EXIT_SETUP 71
#define EXIT_LOCKED 75

/* Of shared directories; linux/mount.h, asm-generic/unistd.h are newer than some libc. Numbers of every architecture. */
#define NR_OPEN_TREE 428
#define NR_MOVE_MOUNT 429
#define NR_OPENAT2 437
#define NR_MOUNT_SETATTR 442
#define TREE_CLONE 1
#define TREE_CLOEXEC O_CLOEXEC
#define TREE_RECURSIVE 0x8000 /* AT_RECURSIVE */
#define EMPTY_PATH 0x1000 /* AT_EMPTY_PATH */
#define MOVE_EMPTY_PATH 4
#define ATTR_RDONLY 0x1
#define ATTR_NOSUID 0x2
#define ATTR_NODEV 0x4
#define ATTR_NOEXEC 0x8
#define ATTR_IDMAP 0x100000

struct mount_rule { uint64_t set, clear, propagation, userns_fd; };

/* A keeper's answer to a request for a descriptor; after ANSWER_OK it follows. */
#define ANSWER_OK 'k'
#define ANSWER_NONE 'n' /* there is no such object */
#define ANSWER_BUSY 'b' /* not yet (or no longer) for this */

/* A socket to listen on, a file or directory to open or a memory object, handed to the child under a name. */
struct descriptor {
  char name[32];
  const char *path; /* of 'i': the interface's name */
  char mode; /* 'l' listen, 'r' read, 'w' read and write, 'a' append, 'm' memory object, 't' taken from a keeper, 's' shared directory, 'v' one that a server gives, 'i' tap interface */
  bool readonly, is_mount; /* of 's' and 'v' */
  int directory_fd, server_fd, userns_fd; /* of 'v', whose server gets them; `fd` is connected to it */
  off_t size; /* of 'm' */
  const char *object; /* of 't': its name there; `path` is the keeper's socket */
  int fd;
  bool made; /* this run created the path */
};

/* Who is connected to the --keep socket. */
struct peer {
  int fd;
  bool waits;
  long long until_ms; /* its request has to be there by then */
  char request[64];
  size_t length;
};

struct options {
  const char *dir;
  bool has_uid, has_gid, has_nice, no_huge_pages, has_shares;
  uid_t uid;
  gid_t gid, groups[MAX_GROUPS];
  int group_count, nice;
  const char *cgroup, *cgroup_root;
  long long memory_max, pids_max, cpu_max; /* -1: not given */
  struct { int resource; rlim_t value; } rlimits[MAX_RLIMITS];
  int rlimit_count;
  const char *log_path, *keep_path;
  const char *apparmor, *server_apparmor; /* names of profiles that are loaded */
  const char *selinux, *selinux_own, *selinux_read; /* contexts: of the process, of files that it writes to, of the others */
  long long log_cap;
  struct descriptor descriptors[MAX_DESCRIPTORS];
  int descriptor_count;
  char *server[MAX_SERVER_ARGUMENTS + 2]; /* command of the servers; one more is added, and the closing NULL */
  int server_arguments;
  char **argv;
};

struct jail {
  struct options options;
  int dir_fd, lock_fd, alive_fd, exit_fd;
  int signal_fd, log_fd, output_fd, output_in; /* output_fd: our end of stdout and stderr of the child and the servers */
  bool log_made;
  int keep_fd; /* listens for those who want an object; -1: nothing is kept */
  bool keep_made, sealed;
  struct peer peers[MAX_PEERS];
  int peer_count;
  pid_t child;
  struct { pid_t pid; const char *name; } servers[MAX_SERVERS]; /* of shared directories */
  int server_count;
  unsigned long long start_time, own_start_time; /* field 22 of /proc/PID/stat */
  long long started_at_ms;
  char boot_id[40];
  struct { char path[512]; } groups[4]; /* control groups of the child */
  int group_count;
  bool is_unified;
  bool ran_out_of_memory;
  char warnings[MAX_WARNINGS][256];
  int warning_count;
  char tail[TAIL_BYTES]; /* ring: the last of the child's output */
  size_t tail_total;
};

/* options.c */
void parse_options(struct jail *jail, int argc, char **argv);

/* waiting.c */
_Noreturn void wait_for_arguments(void);

/* directory.c */
void lock_directory(struct jail *jail);
void take_over_leftover(struct jail *jail);
void open_state_files(struct jail *jail);
void write_ready(struct jail *jail);
void write_exit(struct jail *jail, int wait_status, long max_rss_kib);
void remove_state_files(struct jail *jail);
unsigned long long process_start_time(pid_t pid, char *state);
long long now_ms(void);

/* descriptors.c */
void open_descriptors(struct jail *jail);
int bind_socket(struct jail *jail, const char *path, bool *made);
void remove_listeners(struct jail *jail, bool failed);
void remove_sockets(struct jail *jail, bool failed);
void close_inherited(void);

/* share.c */
void open_share(struct jail *jail, struct descriptor *descriptor);
int open_directory(const char *path);
int open_user_namespace(const char *uid_map, const char *gid_map);

/* server.c */
void open_served(struct jail *jail, struct descriptor *descriptor);
void start_servers(struct jail *jail);
const char *ended_server(const struct jail *jail);
void end_servers(struct jail *jail);

/* check.c */
int check_share(int argc, char **argv);

/* filter.c */
bool forbid_set_id(void);
bool forbid_set_id_and_owners(void);

/* tap.c */
bool is_tap_name(const char *name);
void open_tap(struct jail *jail, struct descriptor *descriptor);

/* objects.c */
void make_object(struct jail *jail, struct descriptor *descriptor);
bool seal_objects(struct jail *jail);
bool send_descriptor(int socket_fd, const char *text, size_t length, int fd);
int take_object(const char *path, const char *name);
int fill_object(const char *path, const char *name);

/* keeper.c */
int poll_peers(struct jail *jail, struct pollfd *polled);
long long peers_until_ms(const struct jail *jail);
void serve_peers(struct jail *jail, const struct pollfd *polled);
bool begin_keeping(struct jail *jail);

/* handover.c */
int hand_over(int argc, char **argv, bool of_lease);

/* after.c */
int after(int argc, char **argv);

/* relay.c */
int relay(int argc, char **argv);

/* capture.c */
int capture(int argc, char **argv);

/* lease.c */
int lease(int argc, char **argv);

/* cgroup.c */
void make_cgroup(struct jail *jail);
pid_t fork_into_cgroup(struct jail *jail, bool *is_in);
bool enter_cgroup(const struct jail *jail);
void join_cgroup(struct jail *jail, pid_t pid);
bool killed_for_memory(const struct jail *jail);
void remove_cgroup(struct jail *jail);

/* policy.c */
void label_file(struct jail *jail, const struct descriptor *descriptor);
bool take_policy(const struct options *options);
bool take_profile(const char *name);

/* child.c */
typedef void confine(struct jail *jail, const struct descriptor *served, int channel);
_Noreturn void fail_step(int channel, const char *step);
void open_output(struct jail *jail);
/* Runs ARGV in a process that CONFINE has confined, and returns once it is executed. PID is known before anything can fail. */
void spawn(struct jail *jail, pid_t *pid, char **argv, confine *confine, const struct descriptor *served);
void start_child(struct jail *jail);

/* supervise.c */
int supervise(struct jail *jail);
long long monotonic_ms(void);

/* report.c */
_Noreturn void fail(struct jail *jail, const char *step, int error, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void warn(struct jail *jail, const char *format, ...) __attribute__((format(printf, 2, 3)));
void json_string(FILE *out, const char *text, size_t length);

/* tsc.c */
int print_tsc_khz(void);

#endif
