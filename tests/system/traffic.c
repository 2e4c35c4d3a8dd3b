/*
 * Numbers from one VM to another, over TCP and over UDP, and a receiver that knows of each gap and each repeat.
 *   traffic send HOST RATE     RATE numbers a second on each
 *   traffic receive            /run/traffic: TCP-COUNT TCP-WRONG UDP-COUNT UDP-MISSING UDP-REPEATS, ten times a second
 * A number on UDP counts as missing when 100 later ones have come: order is not promised.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PORT 9000
#define LATE 100
#define MAX (8 * 1024 * 1024)

static int connected(int type, const char *host) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT)};
  inet_pton(AF_INET, host, &to.sin_addr);
  int fd = socket(AF_INET, type, 0);
  return connect(fd, (struct sockaddr *)&to, sizeof to) < 0 ? -1 : fd;
}

static int bound(int type) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(PORT)};
  int fd = socket(AF_INET, type, 0), room = 4 * 1024 * 1024;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
  if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0) exit(1);
  return fd;
}

static int send_numbers(const char *host, long rate) {
  int tcp = connected(SOCK_STREAM, host), udp = connected(SOCK_DGRAM, host);
  if (tcp < 0 || udp < 0) return 1;
  struct timespec pause = {0, 1000000000 / rate};
  for (uint32_t n = 0; n < MAX; n++) {
    uint32_t number = htonl(n);
    if (write(tcp, &number, sizeof number) != sizeof number) return 1;
    /* A full queue of our own is no loss on the way. */
    while (write(udp, &number, sizeof number) < 0) nanosleep(&pause, NULL);
    nanosleep(&pause, NULL);
  }
  return 0;
}

static unsigned char seen[MAX / 8];
static unsigned long tcp_count, tcp_wrong, udp_count, udp_repeats;
static uint32_t udp_next;

static void take_udp(uint32_t n) {
  if (n >= MAX) return;
  udp_count++;
  if (seen[n / 8] & 1 << n % 8) udp_repeats++;
  seen[n / 8] |= (unsigned char)(1 << n % 8);
  if (n >= udp_next) udp_next = n + 1;
}

static void report(void) {
  unsigned long missing = 0;
  for (uint32_t n = 0; n + LATE < udp_next; n++) missing += !(seen[n / 8] & 1 << n % 8);
  FILE *out = fopen("/run/.traffic", "w");
  fprintf(out, "%lu %lu %lu %lu %lu\n", tcp_count, tcp_wrong, udp_count, missing, udp_repeats);
  fclose(out);
  rename("/run/.traffic", "/run/traffic");
}

static int receive_numbers(void) {
  int udp = bound(SOCK_DGRAM), listener = bound(SOCK_STREAM), tcp;
  listen(listener, 1);
  tcp = accept(listener, NULL, NULL);
  unsigned char part[4];
  size_t have = 0;
  struct timespec last = {0, 0}, now;
  for (;;) {
    struct pollfd ready[2] = {{.fd = tcp, .events = POLLIN}, {.fd = udp, .events = POLLIN}};
    poll(ready, 2, 100);
    if (ready[0].revents != 0) {
      ssize_t n = read(tcp, part + have, sizeof part - have);
      if (n <= 0) return 1;
      have += (size_t)n;
      if (have == sizeof part) {
        uint32_t number;
        memcpy(&number, part, sizeof number);
        tcp_wrong += ntohl(number) != tcp_count++;
        have = 0;
      }
    }
    if (ready[1].revents != 0) {
      uint32_t number;
      if (recv(udp, &number, sizeof number, MSG_DONTWAIT) == sizeof number) take_udp(ntohl(number));
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    if ((now.tv_sec - last.tv_sec) * 10 + (now.tv_nsec - last.tv_nsec) / 100000000 < 1) continue;
    last = now;
    report();
  }
}

int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  return argc == 4 ? send_numbers(argv[2], atol(argv[3])) : receive_numbers();
}
