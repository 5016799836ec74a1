// SPDX-License-Identifier: GPL-2.0
/* The way to an endpoint, and sending there. */
#include <linux/inetdevice.h>
#include <linux/netdevice.h>
#include <net/addrconf.h>
#include <net/ip6_route.h>
#include <net/ipv6.h>
#include <net/route.h>
#include <net/udp_tunnel.h>

#include "route_cache.h"
#include "udp_port.h"
#include "wg_helpers.h"

/*
 * Looks up a route. If our own address in flow is of no use any more, or the
 * packets from the far end do not come in where they would leave now, forgets
 * the address, sets *lost, and lets the route choose one.
 */
static struct rtable *wg_route4(struct sock *sk, struct flowi4 *flow, u32 ifindex, bool *lost)
{
	struct net *net = sock_net(sk);
	struct rtable *rt;
	bool elsewhere;

	security_sk_classify_flow(sk, flowi4_to_flowi_common(flow));
	if (flow->saddr && !inet_confirm_addr(net, NULL, 0, flow->saddr, RT_SCOPE_HOST)) {
		*lost = true;
		flow->saddr = 0;
		ifindex = 0;
	}
	rt = ip_route_output_flow(net, flow, sk);
	if (!ifindex)
		return rt;
	if (IS_ERR(rt))
		elsewhere = PTR_ERR(rt) == -EINVAL;
	else
		elsewhere = rt->dst.dev->ifindex != ifindex;
	if (!elsewhere)
		return rt;

	*lost = true;
	flow->saddr = 0;
	if (!IS_ERR(rt))
		ip_rt_put(rt);
	return ip_route_output_flow(net, flow, sk);
}

static int wg_udp_send4(struct sock *sk, struct sk_buff *skb, const struct wg_endpoint *to,
			struct dst_cache *cache, u8 ds, u32 mark, bool *lost)
{
	struct flowi4 flow = {
		.flowi4_mark = mark,
		.flowi4_proto = IPPROTO_UDP,
		.fl4_sport = inet_sk(sk)->inet_sport,
		.fl4_dport = (__force __be16)to->port,
	};
	struct rtable *rt = NULL;

	memcpy(&flow.saddr, to->source, sizeof(flow.saddr));
	memcpy(&flow.daddr, to->address, sizeof(flow.daddr));

	if (cache)
		rt = dst_cache_get_ip4(cache, &flow.saddr);
	if (!rt) {
		rt = wg_route4(sk, &flow, to->source_ifindex, lost);
		if (IS_ERR(rt))
			return PTR_ERR(rt);
		if (cache && !*lost)
			dst_cache_set_ip4(cache, &rt->dst, flow.saddr);
	}
	udp_tunnel_xmit_skb(rt, sk, skb, flow.saddr, flow.daddr, ds, ip4_dst_hoplimit(&rt->dst), 0,
			    flow.fl4_sport, flow.fl4_dport, false, false, 0);
	return 0;
}

#if IS_ENABLED(CONFIG_IPV6)
static struct dst_entry *wg_route6(struct sock *sk, struct flowi6 *flow, bool *lost)
{
	struct net *net = sock_net(sk);

	security_sk_classify_flow(sk, flowi6_to_flowi_common(flow));
	if (!ipv6_addr_any(&flow->saddr) && !ipv6_chk_addr(net, &flow->saddr, NULL, 0)) {
		*lost = true;
		flow->saddr = in6addr_any;
	}
	return ip6_dst_lookup_flow(net, sk, flow, NULL);
}

static int wg_udp_send6(struct sock *sk, struct net_device *dev, struct sk_buff *skb,
			const struct wg_endpoint *to, struct dst_cache *cache, u8 ds, u32 mark,
			bool *lost)
{
	struct flowi6 flow = {
		.flowi6_mark = mark,
		.flowi6_proto = IPPROTO_UDP,
		.flowi6_oif = to->scope_id,
		.fl6_sport = inet_sk(sk)->inet_sport,
		.fl6_dport = (__force __be16)to->port,
	};
	struct dst_entry *dst = NULL;

	memcpy(&flow.saddr, to->source, sizeof(flow.saddr));
	memcpy(&flow.daddr, to->address, sizeof(flow.daddr));

	if (cache)
		dst = dst_cache_get_ip6(cache, &flow.saddr);
	if (!dst) {
		dst = wg_route6(sk, &flow, lost);
		if (IS_ERR(dst))
			return PTR_ERR(dst);
		if (cache && !*lost)
			dst_cache_set_ip6(cache, dst, &flow.saddr);
	}
	udp_tunnel6_xmit_skb(dst, sk, skb, dev, &flow.saddr, &flow.daddr, ds,
			     ip6_dst_hoplimit(dst), 0, flow.fl6_sport, flow.fl6_dport, false, 0);
	return 0;
}
#else
static int wg_udp_send6(struct sock *sk, struct net_device *dev, struct sk_buff *skb,
			const struct wg_endpoint *to, struct dst_cache *cache, u8 ds, u32 mark,
			bool *lost)
{
	return -EAFNOSUPPORT;
}
#endif

/* What has left the device from this CPU, by its counters. */
static u64 wg_sent_here(const struct net_device *dev)
{
	return u64_stats_read(&this_cpu_ptr(dev->tstats)->tx_packets);
}

/*
 * On failure the packet is still the caller's. *refused: the stack below has
 * freed it, which shows in nothing but the counters.
 */
int wg_udp_send(struct wg_udp_port *port, struct net_device *dev, struct sk_buff *skb,
		const struct wg_endpoint *to, struct wg_dst_cache *cache, u8 ds, u32 mark,
		bool *source_lost, bool *refused)
{
	const bool ipv4 = to->family == AF_INET;
	struct sock *sk = ipv4 ? port->sock4 : port->sock6;
	struct dst_cache *routes;
	u64 before;
	int ret;

	*source_lost = false;
	*refused = false;
	if (unlikely(!ipv4 && to->family != AF_INET6))
		return -EDESTADDRREQ;
	if (unlikely(!sk))
		return -ENONET;
	/* Lengths have 16 bits; those of IPv4 count 28 bytes of headers. */
	if (unlikely(skb->len > U16_MAX - sizeof(struct iphdr) - sizeof(struct udphdr)))
		return -EMSGSIZE;
	/* The headers need room, which only packets made elsewhere may lack. */
	ret = skb_cow_head(skb, sizeof(struct ipv6hdr) + sizeof(struct udphdr));
	if (unlikely(ret))
		return ret;

	skb->dev = dev;
	skb->mark = mark;
	skb->ignore_df = 1;
	/* The counters of the device go up by what follows this offset. */
	skb_set_inner_network_header(skb, 0);

	/* Keeps the cache; the caller keeps port and device. */
	rcu_read_lock_bh();
	routes = wg_dst_cache_for(cache, to, mark);
	before = wg_sent_here(dev);
	if (ipv4)
		ret = wg_udp_send4(sk, skb, to, routes, ds, mark, source_lost);
	else
		ret = wg_udp_send6(sk, dev, skb, to, routes, ds, mark, source_lost);
	*refused = !ret && wg_sent_here(dev) == before;
	rcu_read_unlock_bh();
	if (unlikely(*source_lost) && cache)
		wg_dst_cache_reset(cache);
	if (unlikely(ret))
		skb->dev = NULL;
	return ret;
}
