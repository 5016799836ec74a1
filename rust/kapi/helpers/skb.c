// SPDX-License-Identifier: GPL-2.0
/* Packets: ownership, what is asked of them before they are sent, ICMP answers. */
#include <linux/icmpv6.h>
#include <linux/netdevice.h>
#include <linux/skbuff.h>
#include <net/dst_metadata.h>
#include <net/gso.h>
#include <net/icmp.h>
#include <net/ip_tunnels.h>

#include "skb_state.h"
#include "wg_helpers.h"

/* What bindgen saw must be what this compiler sees. */
bool wg_skb_layout_matches(const u32 *layout, size_t count)
{
	static const u32 here[] = {
		WG_SKB_NEXT, WG_SKB_CB, WG_SKB_LEN, WG_SKB_DATA_LEN, WG_SKB_DATA, WG_SKB_SIZE,
	};

	return count == ARRAY_SIZE(here) && !memcmp(layout, here, sizeof(here));
}

struct sk_buff *wg_skb_alloc(u32 headroom, u32 len)
{
	struct sk_buff *skb;
	u32 size;

	if (check_add_overflow(headroom, len, &size) || size > INT_MAX / 2)
		return NULL;
	skb = alloc_skb(size, GFP_ATOMIC);
	if (likely(skb))
		skb_reserve(skb, headroom);
	return skb;
}

bool wg_skb_put_data(struct sk_buff *skb, const u8 *data, u32 len)
{
	/* Zero for packets with fragments, where nothing can be appended. */
	if (unlikely(skb_tailroom(skb) < 0 || len > (u32)skb_tailroom(skb)))
		return false;
	skb_put_data(skb, data, len);
	return true;
}

void wg_skb_free(struct sk_buff *skb)
{
	kfree_skb(skb);
}

void wg_skb_free_reason(struct sk_buff *skb, u32 reason)
{
	kfree_skb_reason(skb, (enum skb_drop_reason)reason);
}

void wg_skb_free_list(struct sk_buff *head)
{
	kfree_skb_list(head);
}

void wg_skb_consume(struct sk_buff *skb)
{
	consume_skb(skb);
}

bool wg_skb_ip_info(const struct sk_buff *skb, struct wg_ip_info *info)
{
	const __be16 protocol = skb->protocol;

	if (unlikely(!wg_skb_is_ip(skb)))
		return false;
	if (protocol == htons(ETH_P_IP)) {
		const struct iphdr *ip = ip_hdr(skb);

		info->version = 4;
		info->ds = ip->tos;
		memcpy(info->source, &ip->saddr, sizeof(ip->saddr));
		memcpy(info->destination, &ip->daddr, sizeof(ip->daddr));
	} else {
		const struct ipv6hdr *ip6 = ipv6_hdr(skb);

		info->version = 6;
		info->ds = ipv6_get_dsfield(ip6);
		memcpy(info->source, &ip6->saddr, sizeof(ip6->saddr));
		memcpy(info->destination, &ip6->daddr, sizeof(ip6->daddr));
	}
	return true;
}

u32 wg_skb_route_mtu(const struct sk_buff *skb, const struct net_device *dev)
{
	return skb_valid_dst(skb) ? dst_mtu(skb_dst(skb)) : READ_ONCE(dev->mtu);
}

void wg_skb_drop_dst(struct sk_buff *skb)
{
	skb_dst_drop(skb);
}

void wg_skb_orphan(struct sk_buff *skb)
{
	skb_orphan(skb);
}

int wg_skb_checksum_complete(struct sk_buff *skb)
{
	return skb->ip_summed == CHECKSUM_PARTIAL ? skb_checksum_help(skb) : 0;
}

/*
 * On success the list at head replaces the packet, on failure it is as before.
 * Segmentation of nested tunnels asks the device, and so does the flow hash,
 * which is computed here once for all of the segments.
 */
int wg_skb_segment(struct sk_buff *skb, struct net_device *dev, struct sk_buff **head)
{
	struct sk_buff *list = skb, *segment;

	skb->dev = dev;
	skb_get_hash(skb);
	if (skb_is_gso(skb)) {
		list = skb_gso_segment(skb, 0);
		if (IS_ERR_OR_NULL(list)) {
			skb->dev = NULL;
			return list ? PTR_ERR(list) : -EINVAL;
		}
		consume_skb(skb);
	}
	for (segment = list; segment; segment = segment->next)
		segment->dev = NULL;
	*head = list;
	return 0;
}

void wg_icmp_unreachable(struct sk_buff *skb, struct net_device *dev)
{
	skb->dev = dev;
	if (skb->protocol == htons(ETH_P_IP))
		icmp_ndo_send(skb, ICMP_DEST_UNREACH, ICMP_HOST_UNREACH, 0);
	else if (skb->protocol == htons(ETH_P_IPV6))
		icmpv6_ndo_send(skb, ICMPV6_DEST_UNREACH, ICMPV6_ADDR_UNREACH, 0);
	skb->dev = NULL;
}
