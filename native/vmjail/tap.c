/*
 * A NIC on a bridge: a tap of our own making, in our network namespace, and not persistent: it goes with the last descriptor,
 * whatever ends the child. It is down and in no bridge; who started us puts it where it belongs
 * (Documentation/networking/tuntap.rst). One without a name is in a network namespace of its own, where nobody finds it.
 */
#include "vmjail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Starts with 'sk': no misspelling may make it somebody else's interface. */
bool is_tap_name(const char *name) {
  size_t length = strlen(name);
  return length >= 3 && length < IFNAMSIZ && strncmp(name, "sk", 2) == 0 &&
         strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789") == length;
}

/* QEMU takes a memory whose NIC had a tap with a tap alone, whether it is to lead anywhere or not ("saved image requires vnet_hdr=on"). */
static int leave_network(struct jail *jail) {
  int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (home < 0 || unshare(CLONE_NEWNET) < 0) fail(jail, "tap", errno, "cannot make a network namespace");
  return home;
}

void open_tap(struct jail *jail, struct descriptor *descriptor) {
  bool is_alone = descriptor->path[0] == '\0';
  /* The namespace goes with the tap, which holds it. */
  int home = is_alone ? leave_network(jail) : -1;
  /* IFF_VNET_HDR: the guest may leave checksums and cutting into frames to the host. IFF_TUN_EXCL: not one that is there. */
  struct ifreq request = {.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_TUN_EXCL)};
  strcpy(request.ifr_name, is_alone ? "skalone" : descriptor->path); /* its length was checked with the options */
  descriptor->fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  if (descriptor->fd < 0) fail(jail, "tap", errno, "cannot open /dev/net/tun");
  if (ioctl(descriptor->fd, TUNSETIFF, &request) < 0) fail(jail, "tap", errno, "cannot make the tap %s", request.ifr_name);
  if (!is_alone) return;
  if (setns(home, CLONE_NEWNET) < 0) fail(jail, "tap", errno, "cannot go back to the network");
  close(home);
}
