// SPDX-License-Identifier: GPL-2.0
/* From a received datagram to an inner packet. */
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/skbuff.h>
#include <linux/udp.h>
#include <net/inet_ecn.h>
#include <net/ip_tunnels.h>
#include <net/ipv6.h>

#include "aead.h"
#include "skb_state.h"
#include "wg_helpers.h"

/* Who sent it, by headers that wg_skb_is_ip() found to be there. */
static void wg_endpoint_of(const struct sk_buff *skb, const struct udphdr *udp,
			   struct wg_endpoint *from)
{
	memset(from, 0, sizeof(*from));
	from->port = (__force u16)udp->source;
	if (skb->protocol == htons(ETH_P_IP)) {
		const struct iphdr *ip = ip_hdr(skb);

		from->family = AF_INET;
		from->source_ifindex = skb->skb_iif;
		memcpy(from->address, &ip->saddr, sizeof(ip->saddr));
		memcpy(from->source, &ip->daddr, sizeof(ip->daddr));
	} else {
		const struct ipv6hdr *ip6 = ipv6_hdr(skb);

		from->family = AF_INET6;
		from->scope_id = ipv6_iface_scope_id(&ip6->saddr, skb->skb_iif);
		memcpy(from->address, &ip6->saddr, sizeof(ip6->saddr));
		memcpy(from->source, &ip6->daddr, sizeof(ip6->daddr));
	}
}

bool wg_skb_udp_payload(struct sk_buff *skb, struct wg_endpoint *from, u8 *ds)
{
	const struct udphdr *udp;
	u32 offset, len;

	if (unlikely(!wg_skb_is_ip(skb) || !skb_transport_header_was_set(skb) ||
		     skb_transport_header(skb) < skb->data ||
		     skb_transport_header(skb) + sizeof(*udp) > skb_tail_pointer(skb)))
		return false;
	udp = udp_hdr(skb);
	offset = skb_transport_offset(skb);
	len = ntohs(udp->len);
	if (unlikely(len < sizeof(*udp) || len > skb->len - offset))
		return false;

	wg_endpoint_of(skb, udp, from);
	*ds = skb->protocol == htons(ETH_P_IP) ? ip_hdr(skb)->tos :
						 ipv6_get_dsfield(ipv6_hdr(skb));
	if (unlikely(pskb_trim(skb, offset + len)))
		return false;
	return skb_pull(skb, offset + sizeof(*udp));
}

bool wg_skb_pull_check(struct sk_buff *skb, u32 len)
{
	return pskb_may_pull(skb, len);
}

/*
 * Gives back the packet, or the one that takes its place. The result is 0, -EBADMSG
 * if the message is not authentic, or -ENOMEM.
 */
struct sk_buff *wg_skb_open(struct sk_buff *skb, u32 header_len, u64 nonce, const u8 *key,
			    int *result)
{
	struct sk_buff *copy;
	u32 len;

	*result = -EBADMSG;
	if (unlikely(skb->len < WG_AEAD_TAG || header_len > skb->len - WG_AEAD_TAG))
		return skb;
	len = skb->len - header_len - WG_AEAD_TAG;

	if (likely(!skb_is_nonlinear(skb) && !skb_cloned(skb))) {
		if (unlikely(!wg_aead_open(skb->data + header_len, skb->data + header_len, len,
					   nonce, key)))
			return skb;
		__skb_pull(skb, header_len);
		skb_trim(skb, len);
		*result = 0;
		return skb;
	}

	/* Others may look at these pages, or they are a file's: write elsewhere. */
	copy = alloc_skb(NET_SKB_PAD + len + WG_AEAD_TAG, GFP_ATOMIC | __GFP_NOWARN);
	if (unlikely(!copy)) {
		*result = -ENOMEM;
		return skb;
	}
	skb_reserve(copy, NET_SKB_PAD);
	if (unlikely(skb_copy_bits(skb, header_len, skb_put(copy, len + WG_AEAD_TAG),
				   len + WG_AEAD_TAG) ||
		     !wg_aead_open(copy->data, copy->data, len, nonce, key))) {
		/* The packet itself is what its owner will drop. */
		consume_skb(copy);
		return skb;
	}
	skb_trim(copy, len);
	memcpy(copy->cb, skb->cb, sizeof(copy->cb));
	consume_skb(skb);
	*result = 0;
	return copy;
}

/* A fresh packet was never part of anything else: there is nothing to wipe. */
bool wg_skb_set_inner(struct sk_buff *skb, u8 version, u32 len, bool fresh)
{
	const u32 minimum = version == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);

	if (unlikely(len < minimum || len > skb_headlen(skb) || pskb_trim(skb, len)))
		return false;
	if (fresh) {
		skb_reset_network_header(skb);
	} else {
		skb_orphan(skb);
		wg_skb_wipe(skb, false);
	}
	skb->protocol = version == 4 ? htons(ETH_P_IP) : htons(ETH_P_IPV6);
	/* What was authenticated was not damaged on the way: no layer has to check. */
	skb->ip_summed = CHECKSUM_UNNECESSARY;
	skb->csum_level = SKB_MAX_CSUM_LEVEL;
	return true;
}

void wg_skb_ecn_decapsulate(struct sk_buff *skb, u8 outer_ds)
{
	if (skb->protocol == htons(ETH_P_IP))
		INET_ECN_decapsulate(skb, outer_ds, ip_hdr(skb)->tos);
	else if (skb->protocol == htons(ETH_P_IPV6))
		INET_ECN_decapsulate(skb, outer_ds, ipv6_get_dsfield(ipv6_hdr(skb)));
}
