/*
 * Frames by hand (packet(7)), at all Ethernet interfaces of where it runs:
 *   stdin   eth1 0123abcd...    one that is sent as it is
 *   stdout  eth1 0123abcd...    one that came, for whomever it is
 * `ready` is said first. What the machine itself sends is not told of.
 */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_FRAME 65536
#define TAG_BYTES 4

static unsigned char frame[MAX_FRAME + TAG_BYTES];
static char line[2 * MAX_FRAME + IF_NAMESIZE + 2];

static int opened(void) {
  int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)), room = 8 * 1024 * 1024, on = 1;
  if (fd < 0) return -1;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
  setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof on);
  setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on);
  struct if_nameindex *all = if_nameindex();
  for (struct if_nameindex *each = all; each->if_index != 0; each++) {
    struct packet_mreq promiscuous = {.mr_ifindex = (int)each->if_index, .mr_type = PACKET_MR_PROMISC};
    setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof promiscuous);
  }
  if_freenameindex(all);
  return fd;
}

/* The kernel takes the outer tag off, and tells of it beside the frame. */
static size_t with_tag(struct msghdr *message, size_t length) {
  for (struct cmsghdr *each = CMSG_FIRSTHDR(message); each != NULL; each = CMSG_NXTHDR(message, each)) {
    struct tpacket_auxdata about;
    if (each->cmsg_level != SOL_PACKET || each->cmsg_type != PACKET_AUXDATA) continue;
    memcpy(&about, CMSG_DATA(each), sizeof about);
    if (!(about.tp_status & TP_STATUS_VLAN_VALID)) continue;
    uint16_t type = about.tp_status & TP_STATUS_VLAN_TPID_VALID ? about.tp_vlan_tpid : ETH_P_8021Q;
    uint16_t tag[2] = {htons(type), htons(about.tp_vlan_tci)};
    memmove(frame + 12 + TAG_BYTES, frame + 12, length - 12);
    memcpy(frame + 12, tag, TAG_BYTES);
    return length + TAG_BYTES;
  }
  return length;
}

static void tell(int fd) {
  struct sockaddr_ll from;
  struct iovec into = {frame, MAX_FRAME};
  char control[256], name[IF_NAMESIZE];
  struct msghdr message = {&from, sizeof from, &into, 1, control, sizeof control, 0};
  ssize_t got = recvmsg(fd, &message, MSG_DONTWAIT);
  if (got < ETH_HLEN || from.sll_pkttype == PACKET_OUTGOING || from.sll_hatype != 1 /* ARPHRD_ETHER */) return;
  size_t length = with_tag(&message, (size_t)got);
  if (if_indextoname((unsigned)from.sll_ifindex, name) == NULL) return;
  printf("%s ", name);
  for (size_t at = 0; at < length; at++) printf("%02x", frame[at]);
  printf("\n");
  fflush(stdout);
}

static void send_line(int fd) {
  char *hex = strchr(line, ' ');
  if (hex == NULL) return;
  *hex++ = '\0';
  size_t length = 0;
  unsigned byte;
  while (length < MAX_FRAME && sscanf(hex + 2 * length, "%2x", &byte) == 1) frame[length++] = (unsigned char)byte;
  struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(line), .sll_halen = 6};
  memcpy(to.sll_addr, frame, 6);
  if (sendto(fd, frame, length, 0, (struct sockaddr *)&to, sizeof to) < 0) perror(line);
}

int main(void) {
  int fd = opened();
  if (fd < 0) return 1;
  printf("ready\n");
  fflush(stdout);
  size_t have = 0;
  for (;;) {
    struct pollfd ready[2] = {{.fd = fd, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
    poll(ready, 2, -1);
    if (ready[0].revents != 0) tell(fd);
    if (ready[1].revents == 0) continue;
    ssize_t got = read(0, line + have, sizeof line - have - 1);
    if (got <= 0) return 0;
    have += (size_t)got;
    for (char *end; (end = memchr(line, '\n', have)) != NULL;) {
      size_t whole = (size_t)(end - line) + 1;
      *end = '\0';
      send_line(fd);
      memmove(line, line + whole, have -= whole);
    }
  }
}
