/*
 * Messages to the kernel's rtnetlink(7), gathered in one block: under emulation each system call's path is translated on first
 * use, and a clone's identity is mostly that.
 */
#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

#include "net.h"

int netlink = -1;
static struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};

static struct {
  uint8_t data[8192];
  size_t len;
  uint32_t seq;
} block;

static struct nlmsghdr *message(uint16_t type, uint16_t flags, const void *head, size_t len) {
  struct nlmsghdr *h = (struct nlmsghdr *)(void *)(block.data + block.len);
  if (block.len + NLMSG_SPACE(len) + 256 > sizeof(block.data)) return NULL;
  memset(h, 0, NLMSG_SPACE(len));
  h->nlmsg_type = type;
  h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
  h->nlmsg_seq = ++block.seq;
  h->nlmsg_len = (uint32_t)NLMSG_LENGTH(len);
  memcpy(NLMSG_DATA(h), head, len);
  return h;
}

static void attribute(struct nlmsghdr *h, uint16_t type, const void *data, size_t len) {
  struct rtattr *a = (struct rtattr *)(void *)((uint8_t *)h + NLMSG_ALIGN(h->nlmsg_len));
  a->rta_type = type;
  a->rta_len = (uint16_t)RTA_LENGTH(len);
  memcpy(RTA_DATA(a), data, len);
  h->nlmsg_len = (uint32_t)(NLMSG_ALIGN(h->nlmsg_len) + RTA_ALIGN(a->rta_len));
}

static void done(struct nlmsghdr *h) { block.len += NLMSG_ALIGN(h->nlmsg_len); }

static size_t ip_size(const struct ip *ip) { return ip->family == AF_INET ? 4 : 16; }

void rt_link(uint32_t index, const uint8_t *mac, uint32_t mtu, bool is_up) {
  struct ifinfomsg info = {.ifi_index = (int)index, .ifi_flags = is_up ? 0 : IFF_UP, .ifi_change = is_up ? 0 : IFF_UP};
  if (is_up && mac == NULL && mtu == 0) return;
  struct nlmsghdr *h = message(RTM_SETLINK, 0, &info, sizeof(info));
  if (h == NULL) return;
  /* The kernel sets the address before it raises the link (do_setlink), and virtio-net takes one while up. */
  if (mac != NULL) attribute(h, IFLA_ADDRESS, mac, 6);
  if (mtu != 0) attribute(h, IFLA_MTU, &mtu, sizeof(mtu));
  done(h);
}

/* No link-local address by itself, until link_local_add. */
void rt_no_link_local(uint32_t index) {
  struct ifinfomsg info = {.ifi_index = (int)index};
  struct {
    struct rtattr family, mode;
    uint8_t value, padding[3];
  } spec = {.family = {.rta_len = sizeof(struct rtattr) + RTA_LENGTH(1), .rta_type = AF_INET6},
            .mode = {.rta_len = RTA_LENGTH(1), .rta_type = IFLA_INET6_ADDR_GEN_MODE},
            .value = IN6_ADDR_GEN_MODE_NONE};
  struct nlmsghdr *h = message(RTM_SETLINK, 0, &info, sizeof(info));
  if (h == NULL) return;
  attribute(h, IFLA_AF_SPEC, &spec, sizeof(spec));
  done(h);
}

void rt_address(uint16_t type, uint32_t index, const struct ip *ip) {
  struct ifaddrmsg info = {.ifa_family = ip->family, .ifa_prefixlen = ip->prefix, .ifa_index = index};
  struct nlmsghdr *h;
  /* Nobody else has it, the host says so: no wait for duplicate address detection. */
  if (ip->family == AF_INET6) info.ifa_flags = IFA_F_NODAD;
  h = message(type, type == RTM_NEWADDR ? NLM_F_CREATE | NLM_F_REPLACE : 0, &info, sizeof(info));
  if (h == NULL) return;
  attribute(h, IFA_LOCAL, ip->bytes, ip_size(ip));
  attribute(h, IFA_ADDRESS, ip->bytes, ip_size(ip));
  if (ip->family == AF_INET && ip->prefix < 31) {
    uint32_t broadcast = get_u32(ip->bytes) | 0xffffffffu >> ip->prefix;
    uint8_t be[4];
    put_u32(be, broadcast);
    attribute(h, IFA_BROADCAST, be, sizeof(be));
  }
  done(h);
}

void rt_route(uint32_t index, const struct ip *to, const struct ip *gateway) {
  struct rtmsg info = {.rtm_family = gateway->family,
                       .rtm_dst_len = to == NULL ? 0 : to->prefix,
                       .rtm_table = RT_TABLE_MAIN,
                       .rtm_protocol = RTPROT_STATIC,
                       .rtm_scope = RT_SCOPE_UNIVERSE,
                       .rtm_type = RTN_UNICAST};
  struct nlmsghdr *h = message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &info, sizeof(info));
  if (h == NULL) return;
  if (info.rtm_dst_len > 0) attribute(h, RTA_DST, to->bytes, ip_size(to));
  attribute(h, RTA_GATEWAY, gateway->bytes, ip_size(gateway));
  attribute(h, RTA_OIF, &index, sizeof(index));
  done(h);
}

static int answers(void) {
  uint8_t data[4096];
  ssize_t n = recv(netlink, data, sizeof(data), MSG_DONTWAIT);
  /* Without NLM_F_ACK only failures are answered, and at once: nothing to read means that all went well. */
  while (n > 0) {
    size_t left = (size_t)n;
    for (struct nlmsghdr *h = (struct nlmsghdr *)(void *)data; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
      struct nlmsgerr *e = NLMSG_DATA(h);
      if (h->nlmsg_type != NLMSG_ERROR || e->error == 0) continue;
      /* An address that is gone already need not be taken away, and a kernel without IPv6 makes none by itself. */
      if (e->msg.nlmsg_type == RTM_DELADDR) continue;
      if (e->msg.nlmsg_type == RTM_SETLINK && e->error == -EAFNOSUPPORT) continue;
      return -e->error;
    }
    n = recv(netlink, data, sizeof(data), MSG_DONTWAIT);
  }
  return 0;
}

int rt_begin(void) {
  block.len = 0;
  if (netlink < 0) netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  return netlink < 0 ? errno : 0;
}

bool rt_is_half_full(void) { return block.len > sizeof(block.data) / 2; }

int rt_send(void) {
  if (block.len == 0) return 0;
  return sendto(netlink, block.data, block.len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0 ? errno : answers();
}

static bool address_of(const struct nlmsghdr *h, uint32_t index, struct ip *ip) {
  const struct ifaddrmsg *info = NLMSG_DATA(h);
  size_t left = IFA_PAYLOAD(h);
  if (h->nlmsg_type != RTM_NEWADDR || info->ifa_index != index) return false;
  *ip = (struct ip){.family = info->ifa_family, .prefix = info->ifa_prefixlen};
  for (struct rtattr *a = IFA_RTA(info); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
    /* IFA_ADDRESS is the peer's where there is one (rtnetlink(7)); IPv6 has no IFA_LOCAL without. */
    bool fits = a->rta_type == IFA_LOCAL || (a->rta_type == IFA_ADDRESS && ip->family == AF_INET6);
    if (fits && RTA_PAYLOAD(a) == ip_size(ip)) memcpy(ip->bytes, RTA_DATA(a), ip_size(ip));
  }
  return true;
}

/* All addresses, whoever has set them: the next network of the device is another. */
static void flush(uint32_t index) {
  struct {
    struct nlmsghdr head;
    struct ifaddrmsg info;
  } ask = {.head = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifaddrmsg)),
                    .nlmsg_type = RTM_GETADDR,
                    .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP}};
  uint8_t data[8192];
  struct ip ip;
  ssize_t n;
  if (sendto(netlink, &ask, sizeof(ask), 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0) return;
  while ((n = recv(netlink, data, sizeof(data), MSG_DONTWAIT)) > 0) {
    size_t left = (size_t)n;
    for (struct nlmsghdr *h = (struct nlmsghdr *)(void *)data; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
      if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR) return;
      if (address_of(h, index, &ip)) rt_address(RTM_DELADDR, index, &ip);
    }
  }
}

/* Down, under the name that it waits under. */
void rt_spare(uint32_t index, const uint8_t *mac) {
  struct ifinfomsg info = {.ifi_index = (int)index, .ifi_change = IFF_UP};
  uint32_t mtu = 1500;
  flush(index);
  struct nlmsghdr *h = message(RTM_SETLINK, 0, &info, sizeof(info));
  if (h == NULL) return;
  attribute(h, IFLA_ADDRESS, mac, 6);
  attribute(h, IFLA_MTU, &mtu, sizeof(mtu));
  done(h);
}

