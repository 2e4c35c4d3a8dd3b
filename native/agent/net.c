/*
 * Addresses and routes by one netlink message block per identity: under emulation each system call's path is translated
 * on first use, and a clone's identity is mostly that.
 */
#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent.h"

#define LINK_LOCAL_MS 250
#define LOOPBACK 1 /* always the first device of a namespace */

static struct {
  uint8_t data[8192];
  size_t len;
  uint32_t seq;
} block;

/* What the last identity has set, to be taken back by the next (a fork's). */
static struct {
  uint32_t index;
  struct ip address;
} applied[MAX_NICS * MAX_ADDRESSES];
static size_t applied_count;

struct device {
  uint32_t index;
  uint8_t mac[6];
  uint8_t number; /* of ethN */
  bool taken;
};

static int netlink = -1; /* kept open */
static bool loopback_up;

/* Of a template: the links are up, without addresses even of their own, until the first identity. */
static struct device prepared[MAX_NICS];
static size_t prepared_count;

static bool lacks_link_local[MAX_NICS];
static struct timer link_local;

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

static void link_up(uint32_t index, const uint8_t *mac, uint32_t mtu, bool is_up) {
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
static void no_link_local(uint32_t index) {
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

static void address(uint16_t type, uint32_t index, const struct ip *ip) {
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

static void default_route(uint32_t index, const struct ip *gateway) {
  struct rtmsg info = {.rtm_family = gateway->family,
                       .rtm_table = RT_TABLE_MAIN,
                       .rtm_protocol = RTPROT_STATIC,
                       .rtm_scope = RT_SCOPE_UNIVERSE,
                       .rtm_type = RTN_UNICAST};
  struct nlmsghdr *h = message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &info, sizeof(info));
  if (h == NULL) return;
  attribute(h, RTA_GATEWAY, gateway->bytes, ip_size(gateway));
  attribute(h, RTA_OIF, &index, sizeof(index));
  done(h);
}

static struct device *by_mac(struct device *devices, size_t count, const uint8_t *mac) {
  for (size_t i = 0; i < count; i++) {
    if (!devices[i].taken && memcmp(devices[i].mac, mac, 6) == 0) return &devices[i];
  }
  return NULL;
}

static bool all_known(struct device *devices, size_t found, const struct nic *nics, size_t count) {
  for (size_t i = 0; i < count; i++) {
    bool known = (nics[i].has_mac && by_mac(devices, found, nics[i].mac) != NULL) ||
                 (nics[i].has_current_mac && by_mac(devices, found, nics[i].current_mac) != NULL);
    if (!known) return false;
  }
  return true;
}

/*
 * eth0, eth1, ...: without udev the kernel's names stay. It stops as soon as all are known: asking for one that is not
 * there makes a kernel with modules look for one (dev_load).
 */
static size_t find_devices(struct device *devices, const struct nic *nics, size_t wanted) {
  size_t count = 0;
  for (int i = 0; i < MAX_NICS && (nics == NULL || !all_known(devices, count, nics, wanted)); i++) {
    struct ifreq request = {0};
    snprintf(request.ifr_name, sizeof(request.ifr_name), "eth%d", i);
    if (ioctl(netlink, SIOCGIFHWADDR, &request) < 0) break;
    if (request.ifr_hwaddr.sa_family != ARPHRD_ETHER) continue;
    struct device *d = &devices[count];
    memcpy(d->mac, request.ifr_hwaddr.sa_data, 6);
    if (ioctl(netlink, SIOCGIFINDEX, &request) < 0) continue;
    d->index = (uint32_t)request.ifr_ifindex;
    d->number = (uint8_t)i;
    d->taken = false;
    count++;
  }
  return count;
}

/* By the address it shall have, else by the one the host says it has now, else the first that is left. */
static struct device *choose(struct device *devices, size_t count, const struct nic *nic) {
  struct device *d = nic->has_mac ? by_mac(devices, count, nic->mac) : NULL;
  if (d == NULL && nic->has_current_mac) d = by_mac(devices, count, nic->current_mac);
  for (size_t i = 0; d == NULL && i < count; i++) {
    if (!devices[i].taken) d = &devices[i];
  }
  if (d != NULL) d->taken = true;
  return d;
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

static bool is_wanted(const struct nic *nics, struct device **chosen, size_t count, uint32_t index,
                      const struct ip *ip) {
  for (size_t i = 0; i < count; i++) {
    for (size_t j = 0; j < nics[i].address_count; j++) {
      if (chosen[i]->index == index && memcmp(&nics[i].addresses[j], ip, sizeof(*ip)) == 0) return true;
    }
  }
  return false;
}

/* RFC 4291, appendix A. */
static struct ip link_local_of(const uint8_t mac[6]) {
  struct ip ip = {.family = AF_INET6, .prefix = 64, .bytes = {0xfe, 0x80, [11] = 0xff, [12] = 0xfe}};
  memcpy(ip.bytes + 8, mac, 3);
  memcpy(ip.bytes + 13, mac + 3, 3);
  ip.bytes[8] ^= 2;
  return ip;
}

static void link_local_add(struct timer *t) {
  (void)t;
  for (int i = 0; i < MAX_NICS; i++) {
    char path[64];
    if (!lacks_link_local[i]) continue;
    lacks_link_local[i] = false;
    snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/eth%d/addr_gen_mode", i);
    write_existing(path, "0");
  }
}

/*
 * The link-local address is made of the MAC, and stays when that changes: a copy's would be that of its original. Its own
 * comes a moment later, as it does after a boot, where duplicate address detection takes a second: making it costs more than
 * all of the rest.
 */
static void set_link(struct device *d, const struct nic *nic, bool is_up) {
  bool same = !nic->has_mac || memcmp(d->mac, nic->mac, 6) == 0;
  if (!same && !is_up) {
    struct ip old = link_local_of(d->mac);
    no_link_local(d->index);
    address(RTM_DELADDR, d->index, &old);
  }
  link_up(d->index, same ? NULL : nic->mac, nic->mtu, is_up);
  if (!same || is_up) lacks_link_local[d->number] = true;
}

static void plan(const struct nic *nics, struct device **chosen, size_t count, bool are_up) {
  for (size_t i = 0; i < applied_count; i++) {
    if (!is_wanted(nics, chosen, count, applied[i].index, &applied[i].address)) {
      address(RTM_DELADDR, applied[i].index, &applied[i].address);
    }
  }
  applied_count = 0;
  if (!loopback_up) link_up(LOOPBACK, NULL, 0, false);
  for (size_t i = 0; i < count; i++) {
    uint32_t index = chosen[i]->index;
    set_link(chosen[i], &nics[i], are_up);
    for (size_t j = 0; j < nics[i].address_count; j++) {
      address(RTM_NEWADDR, index, &nics[i].addresses[j]);
      applied[applied_count].index = index;
      applied[applied_count++].address = nics[i].addresses[j];
    }
    if (nics[i].gateway.family != 0) default_route(index, &nics[i].gateway);
  }
}

static int send_block(void) {
  struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  if (block.len == 0) return 0;
  return sendto(netlink, block.data, block.len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0 ? errno : answers();
}

static int open_netlink(void) {
  if (netlink < 0) netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  return netlink < 0 ? errno : 0;
}

void net_prepare(void) {
  if (open_netlink() != 0) return;
  block.len = 0;
  link_up(LOOPBACK, NULL, 0, false);
  size_t count = find_devices(prepared, NULL, 0);
  for (size_t i = 0; i < count; i++) {
    no_link_local(prepared[i].index);
    link_up(prepared[i].index, NULL, 0, false);
  }
  loopback_up = send_block() == 0;
  if (loopback_up) prepared_count = count;
}

int net_apply(const struct nic *nics, size_t count, const char **step) {
  struct device devices[MAX_NICS], *chosen[MAX_NICS];
  size_t found = prepared_count, i = 0;
  bool are_up = prepared_count > 0;
  *step = "netlink";
  int error = open_netlink();
  if (error != 0) return error;
  if (are_up) memcpy(devices, prepared, sizeof(prepared));
  else found = find_devices(devices, nics, count);
  for (; i < count && (chosen[i] = choose(devices, found, &nics[i])) != NULL; i++);
  if (i < count) {
    *step = "fewer network interfaces than the host gave addresses for";
    return ENODEV;
  }
  block.len = 0;
  plan(nics, chosen, count, are_up);
  error = send_block();
  *step = "addresses and routes";
  loopback_up = error == 0;
  prepared_count = 0;
  for (int n = 0; n < MAX_NICS; n++) {
    if (lacks_link_local[n]) timer_set(&link_local, LINK_LOCAL_MS, link_local_add);
  }
  return error;
}
