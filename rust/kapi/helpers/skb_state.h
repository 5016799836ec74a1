/* SPDX-License-Identifier: GPL-2.0 */
/* What packets are, and what they forget between the two sides of a tunnel. */
#ifndef WG_SKB_STATE_H
#define WG_SKB_STATE_H

#include <linux/if_ether.h>
#include <linux/skbuff.h>
#include <net/ip_tunnels.h>

/* Whether there is the IP header that the packet's protocol promises. */
static inline bool wg_skb_is_ip(const struct sk_buff *skb)
{
	const __be16 protocol = skb->protocol;

	/* Nothing else is known to have a network header at all. */
	if (protocol != htons(ETH_P_IP) && protocol != htons(ETH_P_IPV6))
		return false;
	return ip_tunnel_parse_protocol(skb) == protocol;
}

/*
 * Clears all that the stack has noted about a packet, which begins a new life
 * with a header at skb->data; keeps data, socket and cb, and on its way out flow
 * hash and delivery time.
 */
static inline void wg_skb_wipe(struct sk_buff *skb, bool out)
{
	const u8 tstamp_type = skb->tstamp_type;
	const u32 hash = skb->hash;
	const bool l4_hash = skb->l4_hash;
	const bool sw_hash = skb->sw_hash;

	/* What is counted or allocated has to be given back, */
	skb_scrub_packet(skb, true);
	/* the rest is wiped as a whole, whatever fields there are. */
	memset(&skb->headers, 0, sizeof(skb->headers));
	if (out) {
		skb->hash = hash;
		skb->l4_hash = l4_hash;
		skb->sw_hash = sw_hash;
		/* What a time means that scrubbing has left: fq below goes by it. */
		skb->tstamp_type = tstamp_type;
	} else {
		skb->tstamp = 0;
	}
	skb->queue_mapping = 0;
	skb->mac_len = 0;
	skb->hdr_len = 0;
	skb->nohdr = 0;
	skb->peeked = 0;
	skb->dev = NULL;
#ifdef CONFIG_NET_SCHED
	skb->tc_index = 0;
#endif
	skb_reset_redirect(skb);
	skb_reset_mac_header(skb);
	skb_reset_network_header(skb);
	skb_reset_transport_header(skb);
	skb_reset_inner_headers(skb);
}

#endif
