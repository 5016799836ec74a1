/* SPDX-License-Identifier: GPL-2.0 */
/* UDP ports, routes and endpoints: the C side of wg_kapi's udp, endpoint and dst_cache modules. */
#ifndef WG_UDP_H
#define WG_UDP_H

#include <linux/types.h>

#define WG_AF_INET 2
#define WG_AF_INET6 10

struct net;
struct net_device;
struct sk_buff;

/*
 * The far end of a tunnel and how this end was addressed. Port, addresses and
 * flowinfo are in network byte order; unused bytes and fields are zero.
 */
struct wg_endpoint {
	u16 family;
	u16 port;
	u32 flowinfo;
	u32 scope_id;
	u32 source_ifindex;
	u8 address[16];
	u8 source[16];
};

struct wg_route_cache;

/* One reference, replaced whole; see helpers/dst_cache.c. */
struct wg_dst_cache {
	struct wg_route_cache *current_cache;
};

struct wg_udp_port;

int wg_udp_open(struct net *net, struct net_device *dev, u16 number,
		struct wg_udp_port **opened);
void wg_udp_close(struct wg_udp_port *port);
u16 wg_udp_number(const struct wg_udp_port *port);
int wg_udp_send(struct wg_udp_port *port, struct net_device *dev, struct sk_buff *skb,
		const struct wg_endpoint *to, struct wg_dst_cache *cache, u8 ds, u32 mark,
		bool *source_lost, bool *refused);

void wg_dst_cache_reset(struct wg_dst_cache *cache);

#endif
