/* What the agent's files share: the loop, frames, streams and the entry points of each duty. */
#ifndef SKERRY_AGENT_H
#define SKERRY_AGENT_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/types.h>

#include "protocol.h"

#define AGENT_VERSION "0.1.0"
#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

/* --- loop.c: one epoll, timers without a tick. A callback may close any watch and release any object. */
struct watch {
  int fd;          /* -1: closed */
  uint32_t events; /* 0: not waited for */
  void (*fn)(struct watch *, uint32_t events);
};
struct timer {
  int64_t at_ms; /* 0: not armed */
  void (*fn)(struct timer *);
  struct timer *next;
};
void loop_init(void);
void loop_turn(void);      /* waits, calls what is due, frees what was released */
void loop_hurry(void);     /* the next turn does not wait */
void loop_release(void *); /* free(), once no event of this turn can point to it */
int watch_add(struct watch *, int fd, uint32_t events, void (*fn)(struct watch *, uint32_t));
int watch_mod(struct watch *, uint32_t events);
void watch_close(struct watch *);
void timer_set(struct timer *, int64_t after_ms, void (*fn)(struct timer *));
void timer_clear(struct timer *);
int64_t now_ms(void);
uint64_t boot_us(void);

/* --- frames.c: pure coding */
struct decoder {
  uint8_t buf[2 * (FRAME_MAX + 4)];
  size_t pos, len, scanned;
  bool synced;
};
struct frame {
  uint8_t type;
  uint32_t stream;
  const uint8_t *body;
  size_t len;
  uint8_t nonce[NONCE_BYTES];
};
enum decoded { DECODED_NOTHING, DECODED_SESSION, DECODED_FRAME, DECODED_ERROR };
uint8_t *decoder_room(struct decoder *, size_t *room);
void decoder_added(struct decoder *, size_t n);
/* The frame points into the decoder and is good until the next call of decoder_room. */
enum decoded decoder_next(struct decoder *, struct frame *);

struct tlv {
  uint8_t tag;
  const uint8_t *data;
  size_t len;
};
struct tlvs {
  const uint8_t *at, *end;
  bool bad;
};
bool tlv_next(struct tlvs *, struct tlv *);
uint64_t tlv_number(const struct tlv *);       /* 1..8 bytes; else 0 */
char *tlv_string(const struct tlv *);          /* malloc'ed; NULL when it has a NUL byte or memory is out */
uint32_t get_u32(const uint8_t *);
void put_u32(uint8_t *, uint32_t);

/* Grows; a failure of malloc is kept in `bad` and the result refused. */
struct bytes {
  uint8_t *data;
  size_t len, cap;
  bool bad;
};
void bytes_add(struct bytes *, const void *, size_t);
void bytes_tlv(struct bytes *, uint8_t tag, const void *, size_t);
void bytes_string(struct bytes *, uint8_t tag, const char *);
void bytes_u32(struct bytes *, uint8_t tag, uint32_t);
void bytes_u64(struct bytes *, uint8_t tag, uint64_t);
void bytes_free(struct bytes *);

/* --- session.c: the port, the output buffer, the table of streams */
struct stream;
struct stream_ops {
  void (*data)(struct stream *, uint8_t channel, const uint8_t *, size_t);
  void (*eof)(struct stream *, struct tlvs *);
  void (*control)(struct stream *, uint8_t kind, struct tlvs *);
  void (*pump)(struct stream *); /* there is credit or room again */
  void (*drop)(struct stream *); /* reset or session lost: stop, then stream_release */
};
struct stream {
  uint32_t id;
  const struct stream_ops *ops;
  uint32_t window;    /* what the host may still send on channel 0 */
  uint32_t credit[3]; /* what we may still send, per channel */
  struct stream *next;
};
void session_start(int port_fd); /* takes a port or an accepted socket; -1: none */
void session_serve(uint32_t events);
bool session_has_port(void);
void session_flush(void);
void session_drain(int timeout_ms); /* blocks until written, host gone or time out: for power-off only */
void session_error(const char *why);

void stream_add(struct stream *, uint32_t id, const struct stream_ops *);
void stream_release(struct stream *); /* removes and frees */
void stream_detach(struct stream *);  /* removes: the host can't see it any more */
void stream_close(struct stream *, const struct bytes *result); /* CLOSE and detach */
void stream_fail(struct stream *, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));
void stream_grant(struct stream *, uint32_t bytes);
void stream_eof(struct stream *, uint8_t channel);
void stream_control(struct stream *, uint8_t kind);
/* Where up to *room bytes of DATA may be put now (0: wait for pump), and sending what was put there. */
uint8_t *stream_data_room(struct stream *, uint8_t channel, size_t *room);
void stream_data_commit(struct stream *, uint8_t channel, size_t n);
void reply_close(uint32_t id, const struct bytes *result);
void reply_fail(uint32_t id, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));
void notify(uint8_t kind, const struct bytes *values);

/* What came in on channel 0 and its reader (a pipe, a socket) has not taken yet. */
struct backlog {
  struct bytes held;
  size_t taken;
  uint32_t ungranted;
};
int backlog_write(struct backlog *, struct stream *, int fd, const uint8_t *, size_t); /* 1 empty, 0 waiting, -errno */

/* --- spawn.c, users.c */
struct command {
  char **argv;
  char **env;
  size_t argc, envc;
  char *cwd, *user;
};
struct user {
  uint32_t uid, gid;
  uint32_t groups[64];
  size_t group_count;
  char name[64], home[256], shell[128];
};
bool command_take(struct command *, const struct tlv *); /* true when the tag is one of a command's */
void command_free(struct command *);
int user_find(const char *spec, struct user *); /* 0 or errno */
struct spawn {
  const struct command *command;
  int fds[3];
  bool tty;
  /* results */
  pid_t pid;
  int error; /* errno of step, or 0 */
  const char *step;
};
int spawn(struct spawn *);
int set_common_env(struct tlvs *values);

/* --- duties; each replies on stream id */
void op_exec(uint32_t id, struct tlvs *);
void op_put(uint32_t id, struct tlvs *);
void op_get(uint32_t id, struct tlvs *);
void op_stat(uint32_t id, struct tlvs *);
void op_list(uint32_t id, struct tlvs *);
void op_mount(uint32_t id, struct tlvs *);
void op_unmount(uint32_t id, struct tlvs *);
void op_stats(uint32_t id, struct tlvs *);
void op_forward(uint32_t id, struct tlvs *);
void op_service(uint32_t id, struct tlvs *);
void op_power(uint32_t id, struct tlvs *);
void op_identify(uint32_t id, struct tlvs *);
void op_root(uint32_t id, struct tlvs *);
void op_link(uint32_t id, struct tlvs *);
void op_nics(uint32_t id, struct tlvs *);
void op_freeze(uint32_t id, struct tlvs *);
void op_thaw(uint32_t id, struct tlvs *);
void op_fault(uint32_t id, struct tlvs *);

bool exec_reaped(pid_t, int status);
bool service_reaped(pid_t, int status);
bool fault_reaped(pid_t);
void faults_end(void);
void service_shutdown(int64_t grace_ms);
void service_log(int fd); /* where its output goes from now on */

/* --- freeze.c: user processes, and only they, live in a control group of their own */
void freezer_init(void);
int freezer_fd(void); /* of the group's directory, for clone3; -1: there is none */
bool freezer_frozen(void);

/* --- keys.c */
void fresh_keys(void);

/* --- net.c */
#define MAX_NICS 8
#define MAX_ADDRESSES 4
struct ip {
  uint8_t family, prefix; /* AF_INET, AF_INET6; 0: none */
  uint8_t bytes[16];
};
struct nic {
  uint8_t mac[6], current_mac[6];
  bool has_mac, has_current_mac;
  bool is_spare; /* only with net_change: down, without addresses */
  struct ip addresses[MAX_ADDRESSES], gateway;
  size_t address_count;
  uint32_t mtu;
  bool has_routes;
  struct tlvs values; /* where its routes are read from, one by one: there may be many */
};
bool take_route(const struct tlv *, struct ip *to, struct ip *via);
void net_prepare(void); /* links up, without addresses: for a template */
int net_apply(const struct nic *, size_t count, const char **step);
int net_change(const struct nic *, size_t count, const char **step); /* these, and no other */

/* --- names.c: small files that say who this machine is */
enum name { NAME_HOSTNAME, NAME_MACHINE_ID, NAME_RESOLV_CONF, NAME_HOSTS, NAME_GENERATION, NAME_BOOT_ID };
void names_prepare(void); /* once /run is there */
int name_set(enum name, const struct tlv *, const char *end);

/* --- identify.c, template.c */
void identify_prepare(void);
bool nic_take(struct nic *, const struct tlv *);
void template_prepare(void);

/* --- init.c, ports.c, power.c, sha256.c, files.c */
extern bool is_init;
void init_mounts(void);
void init_modules(void);
void init_root(void);
void init_calm(void); /* sysctls for few wake-ups */
int root_switch(const char *spec);
void ports_start(void);
void ports_socket(const char *path);
void power_begin(uint8_t kind, int64_t grace_ms);
void power_child_gone(bool none_left);
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
int uevent_open(void);
int write_file(const char *path, const void *, size_t, mode_t);
int write_existing(const char *path, const char *text); /* as of /proc and /sys */
char *read_file(const char *path, size_t max, size_t *len); /* NUL-terminated, malloc'ed */
int make_parents(const char *path);

struct sha256 {
  uint32_t h[8];
  uint64_t bytes;
  uint8_t block[64];
};
void sha256_init(struct sha256 *);
void sha256_add(struct sha256 *, const void *, size_t);
void sha256_end(struct sha256 *, uint8_t out[32]);

#endif
