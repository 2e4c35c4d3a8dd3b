/*
 * A NIC on a bridge: a tap of our own making, in our network namespace, and not persistent: it goes with the last descriptor,
 * whatever ends the child. It is down and in no bridge; who started us puts it where it belongs
 * (Documentation/networking/tuntap.rst).
 */
#include "vmjail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Starts with 'sk': no misspelling may make it somebody else's interface. */
bool is_tap_name(const char *name) {
  size_t length = strlen(name);
  return length >= 3 && length < IFNAMSIZ && strncmp(name, "sk", 2) == 0 &&
         strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789") == length;
}

void open_tap(struct jail *jail, struct descriptor *descriptor) {
  /* IFF_VNET_HDR: the guest may leave checksums and cutting into frames to the host. IFF_TUN_EXCL: not one that is there. */
  struct ifreq request = {.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_TUN_EXCL)};
  strcpy(request.ifr_name, descriptor->path); /* its length was checked with the options */
  descriptor->fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  if (descriptor->fd < 0) fail(jail, "tap", errno, "cannot open /dev/net/tun");
  if (ioctl(descriptor->fd, TUNSETIFF, &request) < 0) fail(jail, "tap", errno, "cannot make the tap %s", descriptor->path);
}
