/*
 * vmjail --capture INTERFACE ring PATH BYTES STATS
 * vmjail --capture INTERFACE reader SOCKET
 * What passes an interface of this network namespace, as pcap with times in nanoseconds (draft-ietf-opsawg-pcap): into PATH and,
 * older, PATH.1, which together hold BYTES at most, with the counts of frames, bytes and drops in STATS; or to who listens at
 * SOCKET, until that hangs up. What the disk or the reader is too slow for is lost in the socket's queue, and counted there.
 * Ends with the interface, and by SIGTERM once all is written (packet(7)).
 */
#include "vmjail.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MAX_FRAME_BYTES 262144 /* more than a frame that is yet to be cut (64 KiB) and its headers */
#define QUEUE_BYTES (8 * 1024 * 1024)
#define ADDRESSES_BYTES 12 /* what comes before a VLAN's tag */
#define TAG_BYTES 4
#define BLOCK_BYTES 32768 /* written at once; with one frame more, less than the least generation */
#define STATS_MS 500
#define MAX_LAST_ROUNDS 256 /* after SIGTERM, of a queue that fills again and again */

struct record { uint32_t seconds, nanoseconds, kept, length; };

static volatile sig_atomic_t is_over;
static bool is_down;
static const char *path, *stats_path;
static long long generation_bytes, written_bytes, stats_at_ms;
static unsigned long long frames, frame_bytes, drops, told_frames;
static int packet_fd = -1, out_fd = -1, interface_index;
static unsigned char block[BLOCK_BYTES + sizeof(struct record) + MAX_FRAME_BYTES];
static size_t filled;

static void on_term(int signal_number) { is_over = signal_number; }

static bool write_all(const void *bytes, size_t length) {
  for (const char *at = bytes; length > 0;) {
    ssize_t done = write(out_fd, at, length);
    if (done < 0 && errno != EINTR) return false;
    if (done > 0) at += done, length -= (size_t)done;
  }
  return true;
}

static bool write_header(void) {
  const uint32_t header[] = {0xa1b23c4d, 2 | 4 << 16, 0, 0, MAX_FRAME_BYTES, 1 /* Ethernet */};
  written_bytes = sizeof header;
  return write_all(header, sizeof header);
}

/* A file of our own: what is there already is not written to, nor what a link at its place leads to. */
static bool begin_file(void) {
  out_fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
  return out_fd >= 0 && write_header();
}

static bool turn(void) {
  char older[4096];
  snprintf(older, sizeof older, "%s.1", path);
  if (rename(path, older) < 0) return false;
  close(out_fd);
  return begin_file();
}

/* In one call, of the same length each time: who reads it sees one of the two. */
static void write_stats(void) {
  struct tpacket_stats since;
  socklen_t length = sizeof since;
  if (getsockopt(packet_fd, SOL_PACKET, PACKET_STATISTICS, &since, &length) == 0) drops += since.tp_drops;
  stats_at_ms = monotonic_ms();
  told_frames = frames;
  if (stats_path == NULL) return;
  char text[80];
  int size = snprintf(text, sizeof text, "%20llu %20llu %20llu\n", frames, frame_bytes, drops);
  int fd = open(stats_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd >= 0 && pwrite(fd, text, (size_t)size, 0) < 0) stats_at_ms = 0;
  if (fd >= 0) close(fd);
}

static bool flush(void) {
  if (filled == 0) return true;
  if (generation_bytes > 0 && written_bytes + (long long)filled > generation_bytes && !turn()) return false;
  if (!write_all(block, filled)) return false;
  written_bytes += (long long)filled;
  filled = 0;
  return true;
}

/* The kernel keeps a VLAN's tag beside the frame: it goes back to where it was. */
static size_t put_back_tag(unsigned char *frame, size_t kept, const struct tpacket_auxdata *beside) {
  if (beside == NULL || (beside->tp_status & TP_STATUS_VLAN_VALID) == 0 || kept < ADDRESSES_BYTES) return 0;
  uint16_t type = (beside->tp_status & TP_STATUS_VLAN_TPID_VALID) != 0 ? beside->tp_vlan_tpid : ETH_P_8021Q;
  const unsigned char tag[] = {(unsigned char)(type >> 8), (unsigned char)type, (unsigned char)(beside->tp_vlan_tci >> 8),
                               (unsigned char)beside->tp_vlan_tci};
  memmove(frame + ADDRESSES_BYTES + TAG_BYTES, frame + ADDRESSES_BYTES, kept - ADDRESSES_BYTES);
  memcpy(frame + ADDRESSES_BYTES, tag, TAG_BYTES);
  return TAG_BYTES;
}

/* Returns the length of its record, 0 when there is none, -1 at the end. */
static ssize_t take(void) {
  unsigned char *frame = block + filled + sizeof(struct record);
  struct iovec room = {frame, MAX_FRAME_BYTES - TAG_BYTES};
  union { char bytes[256]; struct cmsghdr align; } control;
  struct msghdr message = {.msg_iov = &room, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  ssize_t length = recvmsg(packet_fd, &message, MSG_DONTWAIT | MSG_TRUNC);
  if (length < 0) {
    char name[IF_NAMESIZE];
    if (errno == ENETDOWN) is_down = true; /* told once, and not again when it goes (net/packet/af_packet.c, packet_notifier) */
    else if (errno != EAGAIN && errno != EINTR) return -1;
    return is_down && if_indextoname((unsigned)interface_index, name) == NULL ? -1 : 0;
  }
  is_down = false;
  struct timespec time;
  const struct tpacket_auxdata *beside = NULL;
  clock_gettime(CLOCK_REALTIME, &time);
  for (struct cmsghdr *each = CMSG_FIRSTHDR(&message); each != NULL; each = CMSG_NXTHDR(&message, each)) {
    if (each->cmsg_level == SOL_SOCKET && each->cmsg_type == SCM_TIMESTAMPNS) memcpy(&time, CMSG_DATA(each), sizeof time);
    if (each->cmsg_level == SOL_PACKET && each->cmsg_type == PACKET_AUXDATA) beside = (const void *)CMSG_DATA(each);
  }
  size_t kept = (size_t)length < room.iov_len ? (size_t)length : room.iov_len, tag = put_back_tag(frame, kept, beside);
  struct record record = {(uint32_t)time.tv_sec, (uint32_t)time.tv_nsec, (uint32_t)(kept + tag), (uint32_t)((size_t)length + tag)};
  memcpy(block + filled, &record, sizeof record);
  frames++;
  frame_bytes += record.length;
  return (ssize_t)(sizeof record + record.kept);
}

static bool open_packets(const char *interface) {
  interface_index = (int)if_nametoindex(interface);
  packet_fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0); /* of no protocol: none comes before it is bound */
  int on = 1, queue = QUEUE_BYTES;
  struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = interface_index};
  if (interface_index == 0 || packet_fd < 0) return false;
  setsockopt(packet_fd, SOL_SOCKET, SO_RCVBUFFORCE, &queue, sizeof queue);
  return setsockopt(packet_fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof on) == 0 &&
         setsockopt(packet_fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) == 0 &&
         bind(packet_fd, (struct sockaddr *)&address, sizeof address) == 0;
}

static bool open_reader(const char *socket_path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(socket_path) >= sizeof address.sun_path) return false;
  strcpy(address.sun_path, socket_path);
  out_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  return out_fd >= 0 && connect(out_fd, (struct sockaddr *)&address, sizeof address) == 0 && write_header();
}

/* Its files are ours, so it stays who it is, but nothing that needs a right is left to do. */
static bool drop_capabilities(void) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct none[2] = {0};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && syscall(SYS_capset, &header, none) == 0;
}

static int follow(void) {
  sigset_t term, before;
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  sigprocmask(SIG_BLOCK, &term, &before);
  struct sigaction action = {.sa_handler = on_term};
  sigaction(SIGTERM, &action, NULL);
  signal(SIGPIPE, SIG_IGN);
  bool is_file = generation_bytes > 0;
  for (int last_rounds = 0;;) {
    ssize_t got = 0;
    while (filled < BLOCK_BYTES && (got = take()) > 0) filled += (size_t)got;
    bool is_written = flush();
    bool is_last = got < 0 || !is_written || (is_over && (got == 0 || ++last_rounds > MAX_LAST_ROUNDS));
    if (!is_written && is_file) fprintf(stderr, "it can not be written: %s\n", strerror(errno));
    if (is_last || (frames != told_frames && monotonic_ms() - stats_at_ms >= STATS_MS)) write_stats();
    if (is_last && is_file) fchmod(out_fd, 0400); /* nothing more will come: who follows the file sees that */
    if (is_last) return is_written || !is_file ? EXIT_SUCCESS : EXIT_SETUP;
    if (got > 0) continue;
    struct pollfd polled[] = {{.fd = packet_fd, .events = POLLIN}, {.fd = is_file ? -1 : out_fd, .events = POLLRDHUP}};
    long long left_ms = frames == told_frames ? STATS_MS : stats_at_ms + STATS_MS - monotonic_ms();
    struct timespec soon = {0, left_ms > 0 ? left_ms * 1000000 : 0};
    ppoll(polled, 2, frames == told_frames && !is_down ? NULL : &soon, &before);
    if (polled[1].revents != 0) is_over = SIGTERM;
  }
}

int capture(int argc, char **argv) {
  bool is_ring = argc == 7 && strcmp(argv[3], "ring") == 0;
  if (!is_ring && !(argc == 5 && strcmp(argv[3], "reader") == 0)) {
    fprintf(stderr, "vmjail: --capture INTERFACE ring PATH BYTES STATS | reader SOCKET\n");
    return EXIT_USAGE;
  }
  if (is_ring) {
    path = argv[4];
    generation_bytes = strtoll(argv[5], NULL, 10) / 2;
    stats_path = argv[6];
  }
  if (!open_packets(argv[2]) || !(is_ring ? begin_file() : open_reader(argv[4])) || !drop_capabilities()) {
    fprintf(stderr, "vmjail: cannot capture %s: %s\n", argv[2], strerror(errno));
    return EXIT_SETUP;
  }
  return follow();
}
