/* identify: makes this machine itself and no other: randomness, clock, names, addresses, environment. */
#include <fcntl.h>
#include <linux/random.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

#define MAX_SEED 256

static int random_fd = -1;

void identify_prepare(void) { random_fd = open("/dev/urandom", O_RDWR | O_CLOEXEC); }

static int reseed(const uint8_t *seed, size_t len) {
  struct {
    struct rand_pool_info info;
    uint8_t bytes[MAX_SEED];
  } pool;
  if (len > MAX_SEED) return EINVAL;
  if (random_fd < 0) identify_prepare();
  if (random_fd < 0) return errno;
  pool.info.entropy_count = (int)len * 8;
  pool.info.buf_size = (int)len;
  memcpy((uint8_t *)&pool + sizeof(pool.info), seed, len);
  /* Adding alone leaves the generator's key for up to a minute (random(4)): clones would draw the same bytes. */
  return ioctl(random_fd, RNDADDENTROPY, &pool) < 0 || ioctl(random_fd, RNDRESEEDCRNG) < 0 ? errno : 0;
}

static bool take_ip(struct ip *ip, const struct tlv *v, bool with_prefix) {
  size_t at = with_prefix ? 1 : 0;
  if (v->len != at + 4 && v->len != at + 16) return false;
  *ip = (struct ip){.family = v->len == at + 4 ? AF_INET : AF_INET6};
  ip->prefix = with_prefix ? v->data[0] : 0;
  memcpy(ip->bytes, v->data + at, v->len - at);
  return ip->prefix <= (ip->family == AF_INET ? 32 : 128);
}

/* The range as an address with its prefix, then the next hop in the same family. */
bool take_route(const struct tlv *v, struct ip *to, struct ip *via) {
  size_t size = v->len / 2;
  struct tlv range = {.data = v->data, .len = size + 1}, hop = {.data = v->data + size + 1, .len = size};
  return v->len == 2 * size + 1 && take_ip(to, &range, true) && take_ip(via, &hop, false);
}

bool nic_take(struct nic *nic, const struct tlv *whole) {
  struct tlvs values = {.at = whole->data, .end = whole->data + whole->len};
  struct tlv v;
  bool good = true;
  while (tlv_next(&values, &v)) {
    if ((v.tag == TAG_MAC || v.tag == TAG_CURRENT_MAC) && v.len == 6) {
      memcpy(v.tag == TAG_MAC ? nic->mac : nic->current_mac, v.data, 6);
      *(v.tag == TAG_MAC ? &nic->has_mac : &nic->has_current_mac) = true;
    } else if (v.tag == TAG_ADDRESS) {
      good = good && nic->address_count < MAX_ADDRESSES && take_ip(&nic->addresses[nic->address_count++], &v, true);
    } else if (v.tag == TAG_GATEWAY) {
      good = good && take_ip(&nic->gateway, &v, false);
    } else if (v.tag == TAG_MTU) {
      nic->mtu = (uint32_t)tlv_number(&v);
    } else if (v.tag == TAG_ROUTE) {
      nic->has_routes = true;
    } else if (v.tag == TAG_STATE) {
      nic->is_spare = tlv_number(&v) == NIC_SPARE;
    }
  }
  nic->values = (struct tlvs){.at = whole->data, .end = whole->data + whole->len};
  return good && !values.bad;
}

/* A kernel without IPv6 has nothing to pass on of it. */
static int become_router(void) {
  int error = write_existing("/proc/sys/net/ipv6/conf/all/forwarding", "1");
  return error != 0 && error != ENOENT ? error : write_existing("/proc/sys/net/ipv4/ip_forward", "1");
}

static int set_clock(uint64_t ns) {
  struct timespec t = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
  return clock_settime(CLOCK_REALTIME, &t) < 0 ? errno : 0;
}

static int set_root(const struct tlv *v) {
  char spec[128];
  if (v->len == 0 || v->len >= sizeof(spec) || !is_init) return EINVAL;
  memcpy(spec, v->data, v->len);
  spec[v->len] = 0;
  return root_switch(spec);
}

static int set_hostname(const struct tlv *v) {
  if (sethostname((const char *)v->data, v->len) < 0) return errno;
  return name_set(NAME_HOSTNAME, v, "\n");
}

/* What failed is in *step. */
static int apply(struct tlvs *values, const char **step) {
  struct nic nics[MAX_NICS] = {0};
  size_t nic_count = 0;
  struct tlvs again = *values;
  struct tlv v;
  int error = 0;
  while (error == 0 && tlv_next(values, &v)) {
    switch (v.tag) {
      case TAG_ROOT:
        *step = "root disk";
        error = set_root(&v);
        break;
      case TAG_GENERATION:
        *step = "/run/skerry/generation";
        if (is_init) error = name_set(NAME_GENERATION, &v, "\n");
        break;
      case TAG_BOOT_ID:
        *step = "boot id";
        if (is_init) error = name_set(NAME_BOOT_ID, &v, "\n");
        break;
      case TAG_FRESH_KEYS:
        *step = "ssh host keys";
        if (is_init && tlv_number(&v) != 0) fresh_keys();
        break;
      case TAG_SEED:
        *step = "random seed";
        error = reseed(v.data, v.len);
        break;
      case TAG_UNIX_TIME_NS:
        *step = "clock";
        error = set_clock(tlv_number(&v));
        break;
      case TAG_HOSTNAME:
        *step = "hostname";
        error = set_hostname(&v);
        break;
      case TAG_MACHINE_ID:
        *step = "/etc/machine-id";
        error = name_set(NAME_MACHINE_ID, &v, "\n");
        break;
      case TAG_RESOLV_CONF:
        *step = "/etc/resolv.conf";
        error = name_set(NAME_RESOLV_CONF, &v, "");
        break;
      case TAG_HOSTS:
        *step = "/etc/hosts";
        error = name_set(NAME_HOSTS, &v, "");
        break;
      case TAG_ROUTER:
        *step = "passing packets on";
        if (is_init && tlv_number(&v) != 0) error = become_router();
        break;
      case TAG_NIC:
        *step = "a NIC's values";
        error = nic_count == MAX_NICS || !nic_take(&nics[nic_count++], &v) ? EINVAL : 0;
        break;
      default:
        break;
    }
  }
  if (error == 0 && values->bad) error = EBADMSG;
  if (error == 0) error = set_common_env(&again);
  /* Always in a guest: loopback has to come up, even without a NIC. */
  if (error == 0 && (nic_count > 0 || is_init)) error = net_apply(nics, nic_count, step);
  return error;
}

void op_identify(uint32_t id, struct tlvs *values) {
  const char *step = "identity";
  faults_end(); /* a copy begins without those of its original */
  int error = apply(values, &step);
  if (error != 0) reply_fail(id, error, "%s: %s", step, strerror(error));
  else reply_close(id, NULL);
}

/* So that it is in the page cache: a clone need not read it from its disk, and has it in common with the others. */
static void read_ahead(const struct tlv *v) {
  char path[256];
  static uint8_t buffer[64 * 1024];
  if (v->len == 0 || v->len >= sizeof(path)) return;
  memcpy(path, v->data, v->len);
  path[v->len] = 0;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return;
  for (int turns = 0; turns < 256 && read(fd, buffer, sizeof(buffer)) > 0; turns++);
  close(fd);
}

/*
 * The root disk and nothing else: of a template whose clones all have this disk. What it has read so far is in the memory
 * that they share; the disk has all that the memory does not.
 */
void op_root(uint32_t id, struct tlvs *values) {
  struct tlv v;
  int error = EINVAL;
  while (tlv_next(values, &v)) {
    if (v.tag == TAG_ROOT) error = set_root(&v);
    else if (v.tag == TAG_PATH && error == 0) read_ahead(&v);
  }
  if (error != 0) {
    reply_fail(id, error, "root disk: %s", strerror(error));
    return;
  }
  sync();
  reply_close(id, NULL);
}
