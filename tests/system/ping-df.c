/*
 * A ping that no one may cut into pieces (IP_PMTUDISC_DO, ip(7)): whether a packet of so many bytes goes through whole.
 *   ping-df ADDRESS BYTES      `reply`; `too big: MTU` when it is larger than the least MTU of the way that is known; `lost`
 * BYTES are those of the whole IP packet.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define IP_BYTES 20
#define TRIES 3
#define WAIT_MS 700

static unsigned short checksum(const unsigned char *data, int length) {
  unsigned sum = 0;
  for (int i = 0; i < length; i += 2) sum += (unsigned)data[i] << 8 | (i + 1 < length ? data[i + 1] : 0);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return htons((unsigned short)~sum);
}

static int too_big(int fd) {
  int mtu = 0;
  socklen_t room = sizeof mtu;
  getsockopt(fd, IPPROTO_IP, IP_MTU, &mtu, &room);
  return printf("too big: %d\n", mtu) < 0;
}

int main(int argc, char **argv) {
  static unsigned char echo[65536], answer[65536];
  if (argc != 3) return 2;
  int bytes = atoi(argv[2]) - IP_BYTES, always = IP_PMTUDISC_DO;
  struct sockaddr_in to = {.sin_family = AF_INET};
  if (bytes < 8 || bytes > 60000 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) return 2;
  int fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
  if (fd < 0 || setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &always, sizeof always) < 0) return 1;
  if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) return 1;
  echo[0] = 8;
  memcpy(echo + 4, (unsigned short[]){(unsigned short)getpid()}, 2);
  for (int try = 0; try < TRIES; try++) {
    echo[7] = (unsigned char)try;
    memset(echo + 2, 0, 2);
    memcpy(echo + 2, (unsigned short[]){checksum(echo, bytes)}, 2);
    /* What a router says of the one before is the next one's error. */
    if (send(fd, echo, (size_t)bytes, 0) < 0 && errno == EMSGSIZE) return too_big(fd);
    struct pollfd one = {.fd = fd, .events = POLLIN};
    while (poll(&one, 1, WAIT_MS) > 0) {
      ssize_t got = recv(fd, answer, sizeof answer, 0);
      if (got < 0 && errno == EMSGSIZE) return too_big(fd);
      if (got < IP_BYTES + bytes || answer[IP_BYTES] != 0 || memcmp(answer + IP_BYTES + 4, echo + 4, 2) != 0) continue;
      return printf("reply\n") < 0;
    }
  }
  return printf("lost\n") < 0;
}
