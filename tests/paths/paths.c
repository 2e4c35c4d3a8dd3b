/*
 * Who can be reached, by TCP, UDP and ping, all at once.
 *   paths serve NAME     says NAME to whoever calls port 7777
 *   paths ask            stdin: ID NIC MARK tcp|udp|icmp ADDRESS, a line each (NIC `-`: any); stdout: ID NAME of those that answer
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PORT 7777
#define MOST 1000
#define WAIT_MS 2000
#define AGAIN_MS 400

struct question {
  int id, mark;
  char nic[16], protocol[8];
  struct sockaddr_storage to;
  socklen_t length;
};

static struct question questions[MOST];
static struct pollfd ends[MOST];

static long now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int serve(const char *name) {
  struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)};
  int tcp = socket(AF_INET6, SOCK_STREAM, 0), udp = socket(AF_INET6, SOCK_DGRAM, 0), on = 1;
  setsockopt(tcp, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(tcp, (struct sockaddr *)&at, sizeof at) < 0 || bind(udp, (struct sockaddr *)&at, sizeof at) < 0) return 1;
  listen(tcp, 1024);
  struct pollfd ready[2] = {{.fd = tcp, .events = POLLIN}, {.fd = udp, .events = POLLIN}};
  for (;;) {
    poll(ready, 2, -1);
    if (ready[0].revents != 0) {
      int caller = accept(tcp, NULL, NULL);
      if (caller >= 0 && write(caller, name, strlen(name)) >= 0) close(caller);
    }
    if (ready[1].revents != 0) {
      struct sockaddr_in6 from;
      socklen_t length = sizeof from;
      char asked[64];
      if (recvfrom(udp, asked, sizeof asked, 0, (struct sockaddr *)&from, &length) >= 0)
        sendto(udp, name, strlen(name), 0, (struct sockaddr *)&from, length);
    }
  }
}

static int is6(const struct question *asked) { return asked->to.ss_family == AF_INET6; }

static int read_question(struct question *into) {
  char address[64];
  if (scanf("%d %15s %d %7s %63s", &into->id, into->nic, &into->mark, into->protocol, address) != 5) return 0;
  struct sockaddr_in6 *six = (struct sockaddr_in6 *)&into->to;
  struct sockaddr_in *four = (struct sockaddr_in *)&into->to;
  memset(&into->to, 0, sizeof into->to);
  if (inet_pton(AF_INET6, address, &six->sin6_addr) == 1) {
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(PORT);
    into->length = sizeof *six;
    return 1;
  }
  four->sin_family = AF_INET;
  four->sin_port = htons(PORT);
  into->length = sizeof *four;
  return inet_pton(AF_INET, address, &four->sin_addr);
}

static int opened(const struct question *asked) {
  int family = asked->to.ss_family, type = SOCK_STREAM, protocol = 0;
  if (strcmp(asked->protocol, "udp") == 0) type = SOCK_DGRAM;
  if (strcmp(asked->protocol, "icmp") == 0) {
    type = SOCK_RAW;
    protocol = is6(asked) ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
  }
  int fd = socket(family, type | SOCK_NONBLOCK, protocol);
  if (strcmp(asked->nic, "-") != 0) setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, asked->nic, strlen(asked->nic) + 1);
  if (asked->mark != 0) setsockopt(fd, SOL_SOCKET, SO_MARK, &asked->mark, sizeof asked->mark);
  struct sockaddr_storage to = asked->to;
  /* The port of a raw socket is its protocol (ipv6(7)). */
  if (type == SOCK_RAW) is6(asked) ? (((struct sockaddr_in6 *)&to)->sin6_port = 0) : (((struct sockaddr_in *)&to)->sin_port = 0);
  if (connect(fd, (struct sockaddr *)&to, asked->length) == 0 || errno == EINPROGRESS) return fd;
  close(fd);
  return -1;
}

static uint16_t sum(const uint16_t *words, size_t count) {
  uint32_t all = 0;
  while (count-- > 0) all += *words++;
  while (all > 0xffff) all = (all & 0xffff) + (all >> 16);
  return (uint16_t)~all;
}

static void ask(int fd, const struct question *asked) {
  if (strcmp(asked->protocol, "tcp") == 0) return;
  struct icmphdr echo = {.type = is6(asked) ? ICMP6_ECHO_REQUEST : ICMP_ECHO};
  echo.un.echo.id = htons((uint16_t)asked->id);
  if (!is6(asked)) echo.checksum = sum((uint16_t *)&echo, sizeof echo / 2);
  if (strcmp(asked->protocol, "udp") == 0) send(fd, "?", 1, 0);
  else send(fd, &echo, sizeof echo, 0);
}

/* 1: answered, -1: never will be. */
static int heard(int fd, const struct question *asked) {
  char text[256];
  ssize_t got = recv(fd, text, sizeof text - 1, 0);
  int isTcp = strcmp(asked->protocol, "tcp") == 0;
  if (got <= 0) return isTcp && errno != EAGAIN ? -1 : 0;
  text[got] = '\0';
  if (strcmp(asked->protocol, "icmp") == 0) {
    size_t at = is6(asked) ? 0 : (size_t)(text[0] & 15) * 4;
    struct icmphdr *reply = (struct icmphdr *)(text + at);
    if ((size_t)got < at + sizeof *reply || reply->type != (is6(asked) ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY)) return 0;
    if (reply->un.echo.id != htons((uint16_t)asked->id)) return 0;
    strcpy(text, "pong");
  }
  printf("%d %s\n", asked->id, text);
  return 1;
}

static int ask_all(void) {
  struct rlimit files = {MOST + 16, MOST + 16};
  setrlimit(RLIMIT_NOFILE, &files);
  nfds_t count = 0, open = 0;
  while (count < MOST && read_question(&questions[count])) count++;
  for (nfds_t each = 0; each < count; each++) {
    ends[each] = (struct pollfd){.fd = opened(&questions[each]), .events = POLLIN};
    open += ends[each].fd >= 0;
  }
  long began = now_ms(), asked = 0;
  while (open > 0 && now_ms() - began < WAIT_MS) {
    if (now_ms() - began >= asked) {
      for (nfds_t each = 0; each < count; each++) if (ends[each].fd >= 0) ask(ends[each].fd, &questions[each]);
      asked += AGAIN_MS;
    }
    poll(ends, count, 50);
    for (nfds_t each = 0; each < count; each++) {
      if (ends[each].fd < 0 || ends[each].revents == 0 || heard(ends[each].fd, &questions[each]) == 0) continue;
      close(ends[each].fd);
      ends[each].fd = -1;
      open--;
    }
  }
  return 0;
}

int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  return argc == 3 ? serve(argv[2]) : ask_all();
}
