/* Tells whoever knows an address under another MAC, a VM's that had it before, whose it is now: they would go on asking that for half a minute. */
#include <arpa/inet.h>
#include <netinet/if_ether.h>
#include <netpacket/packet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net.h"

/* An ARP announcement, RFC 5227 section 1.1. IPv6 addresses are made of the MAC: who has the one has the other. */
void arp_announce(uint32_t index, const uint8_t mac[6], const struct ip *ip) {
  struct sockaddr_ll to = {
      .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ARP), .sll_ifindex = (int)index, .sll_halen = 6};
  struct ether_arp arp = {.ea_hdr = {.ar_hrd = htons(ARPHRD_ETHER),
                                     .ar_pro = htons(ETH_P_IP),
                                     .ar_hln = 6,
                                     .ar_pln = 4,
                                     .ar_op = htons(ARPOP_REQUEST)}};
  memset(to.sll_addr, 0xff, 6);
  memcpy(arp.arp_sha, mac, 6);
  memcpy(arp.arp_spa, ip->bytes, 4);
  memcpy(arp.arp_tpa, ip->bytes, 4);
  int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return; /* a kernel that has no packet sockets: they find out by themselves */
  sendto(fd, &arp, sizeof(arp), 0, (struct sockaddr *)&to, sizeof(to));
  close(fd);
}
