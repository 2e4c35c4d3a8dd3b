/* Which interface is which NIC, and what it is given. */
#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net.h"

#define LINK_LOCAL_MS 250
/* After the answer, so that nobody waits for it, and once more for when we were not plugged in yet (RFC 5227, section 2.3). */
#define ANNOUNCE_MS 50
#define ANNOUNCE_AGAIN_MS 1000
#define LOOPBACK 1 /* always the first device of a namespace */

/* What the last identity has set, to be taken back by the next (a fork's). */
static struct {
  uint32_t index;
  struct ip address;
  uint8_t mac[6];
} applied[MAX_NICS * MAX_ADDRESSES];
static size_t applied_count;

struct device {
  uint32_t index;
  uint8_t mac[6];
  uint8_t number; /* of ethN */
  bool taken;
};

static bool loopback_up;

/* Of a template: the links are up, without addresses even of their own, until the first identity. */
static struct device prepared[MAX_NICS];
static size_t prepared_count;

static bool lacks_link_local[MAX_NICS];
static struct timer link_local, announcing;

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

/* A spare one waits until it is somebody's: as long as it is down the kernel gives it no buffers. */
static bool is_spare(const struct device *d) { return memcmp(d->mac, SPARE_MAC, SPARE_MAC_BYTES) == 0; }

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
    rt_no_link_local(d->index);
    rt_address(RTM_DELADDR, d->index, &old);
  }
  rt_link(d->index, same ? NULL : nic->mac, nic->mtu, is_up);
  if (!same || is_up) lacks_link_local[d->number] = true;
}

static void set_nic(struct device *d, const struct nic *nic, bool is_up) {
  set_link(d, nic, is_up);
  for (size_t j = 0; j < nic->address_count; j++) {
    rt_address(RTM_NEWADDR, d->index, &nic->addresses[j]);
    applied[applied_count].index = d->index;
    memcpy(applied[applied_count].mac, nic->has_mac ? nic->mac : d->mac, 6);
    applied[applied_count++].address = nic->addresses[j];
  }
  if (nic->gateway.family != 0) rt_route(d->index, NULL, &nic->gateway);
}

static void plan(const struct nic *nics, struct device **chosen, size_t count, bool are_up) {
  for (size_t i = 0; i < applied_count; i++) {
    if (!is_wanted(nics, chosen, count, applied[i].index, &applied[i].address)) {
      rt_address(RTM_DELADDR, applied[i].index, &applied[i].address);
    }
  }
  applied_count = 0;
  if (!loopback_up) rt_link(LOOPBACK, NULL, 0, false);
  for (size_t i = 0; i < count; i++) set_nic(chosen[i], &nics[i], are_up);
}

static void soon_link_local(void) {
  for (int n = 0; n < MAX_NICS; n++) {
    if (lacks_link_local[n]) timer_set(&link_local, LINK_LOCAL_MS, link_local_add);
  }
}

static void announce_all(struct timer *t) {
  (void)t;
  for (size_t i = 0; i < applied_count; i++) {
    if (applied[i].address.family == AF_INET) arp_announce(applied[i].index, applied[i].mac, &applied[i].address);
  }
}

static void announce_first(struct timer *t) {
  announce_all(t);
  timer_set(t, ANNOUNCE_AGAIN_MS, announce_all);
}

static void soon(void) {
  soon_link_local();
  timer_set(&announcing, ANNOUNCE_MS, announce_first);
}

/* Beside the one block of all else: few machines have any, and those may have many. */
static int send_routes(uint32_t index, const struct nic *nic) {
  struct tlvs values = nic->values;
  struct tlv v;
  struct ip to, via;
  if (!nic->has_routes) return 0;
  int error = rt_begin();
  while (error == 0 && tlv_next(&values, &v)) {
    if (v.tag != TAG_ROUTE) continue;
    if (!take_route(&v, &to, &via)) return EINVAL;
    rt_route(index, &to, &via);
    if (!rt_is_half_full()) continue;
    error = rt_send();
    if (error == 0) error = rt_begin();
  }
  return error == 0 ? rt_send() : error;
}

void net_prepare(void) {
  if (rt_begin() != 0) return;
  rt_link(LOOPBACK, NULL, 0, false);
  size_t count = find_devices(prepared, NULL, 0);
  size_t used = 0;
  for (size_t i = 0; i < count; i++) {
    if (is_spare(&prepared[i])) continue;
    prepared[used++] = prepared[i];
    rt_no_link_local(prepared[i].index);
    rt_link(prepared[i].index, NULL, 0, false);
  }
  loopback_up = rt_send() == 0;
  if (loopback_up) prepared_count = used;
}

int net_apply(const struct nic *nics, size_t count, const char **step) {
  struct device devices[MAX_NICS], *chosen[MAX_NICS];
  size_t found = prepared_count, i = 0;
  bool are_up = prepared_count > 0;
  *step = "netlink";
  int error = rt_begin();
  if (error != 0) return error;
  if (are_up) memcpy(devices, prepared, sizeof(prepared));
  else found = find_devices(devices, nics, count);
  for (; i < count && (chosen[i] = choose(devices, found, &nics[i])) != NULL; i++);
  if (i < count) {
    *step = "fewer network interfaces than the host gave addresses for";
    return ENODEV;
  }
  plan(nics, chosen, count, are_up);
  error = rt_send();
  *step = "addresses and routes";
  for (i = 0; error == 0 && i < count; i++) error = send_routes(chosen[i]->index, &nics[i]);
  loopback_up = error == 0;
  prepared_count = 0;
  soon();
  return error;
}

static void forget(uint32_t index) {
  size_t kept = 0;
  for (size_t i = 0; i < applied_count; i++) {
    if (applied[i].index != index) applied[kept++] = applied[i];
  }
  applied_count = kept;
}

int net_change(const struct nic *nics, size_t count, const char **step) {
  struct device devices[MAX_NICS], *chosen[MAX_NICS];
  *step = "netlink";
  int error = rt_begin();
  if (error != 0) return error;
  size_t found = find_devices(devices, nics, count);
  *step = "no network interface has this address";
  if (!all_known(devices, found, nics, count)) return ENODEV;
  for (size_t i = 0; i < count; i++) {
    struct device *d = chosen[i] = choose(devices, found, &nics[i]);
    if (d == NULL) return EINVAL; /* one was named twice */
    if (nics[i].is_spare) {
      rt_spare(d->index, nics[i].mac);
    } else {
      for (size_t j = 0; j < applied_count; j++) {
        if (applied[j].index == d->index && !is_wanted(&nics[i], &d, 1, d->index, &applied[j].address))
          rt_address(RTM_DELADDR, d->index, &applied[j].address);
      }
    }
    forget(d->index);
    if (!nics[i].is_spare) set_nic(d, &nics[i], false);
  }
  error = rt_send();
  *step = "addresses and routes";
  for (size_t i = 0; error == 0 && i < count; i++) error = send_routes(chosen[i]->index, &nics[i]);
  soon();
  return error;
}
