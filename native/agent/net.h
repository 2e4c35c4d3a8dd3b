/* rtnetlink.c: what is wanted of links, addresses and routes is gathered, and sent at once. */
#ifndef SKERRY_NET_H
#define SKERRY_NET_H

#include "agent.h"

extern int netlink; /* kept open */

int rt_begin(void);
int rt_send(void);
void rt_link(uint32_t index, const uint8_t *mac, uint32_t mtu, bool is_up);
void rt_spare(uint32_t index, const uint8_t *mac);
void rt_no_link_local(uint32_t index);
void rt_address(uint16_t type, uint32_t index, const struct ip *);
void rt_route(uint32_t index, const struct ip *to, const struct ip *gateway); /* to: NULL for everything */
bool rt_is_half_full(void);

void arp_announce(uint32_t index, const uint8_t mac[6], const struct ip *ip);

#endif
