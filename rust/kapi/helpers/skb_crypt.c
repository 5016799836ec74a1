// SPDX-License-Identifier: GPL-2.0
/* From an inner packet to a message. */
#include <linux/ipv6.h>
#include <linux/skbuff.h>
#include <linux/udp.h>

#include "aead.h"
#include "skb_state.h"
#include "wg_helpers.h"

#define WG_MESSAGE_HEADER 16

/* Message, UDP and IP headers, and what link layers like to find. */
#define WG_SEAL_HEADROOM \
	ALIGN(WG_MESSAGE_HEADER + sizeof(struct udphdr) + sizeof(struct ipv6hdr) + NET_SKB_PAD, 4)

/* Makes the packet linear and private, with tail bytes of room behind it. */
static int wg_skb_make_room(struct sk_buff *skb, u32 tail)
{
	const u32 room = skb_end_pointer(skb) - skb_tail_pointer(skb);
	const u32 need = tail + skb->data_len;
	u32 more_head = 0, more_tail = 0;

	if (unlikely(skb_headroom(skb) < WG_SEAL_HEADROOM))
		more_head = ALIGN(WG_SEAL_HEADROOM - skb_headroom(skb), NET_SKB_PAD);
	if (room < need)
		more_tail = need - room;
	if (more_head || more_tail || skb_cloned(skb)) {
		int ret = pskb_expand_head(skb, more_head, more_tail, GFP_ATOMIC | __GFP_NOWARN);

		if (unlikely(ret))
			return ret;
	}
	/* There is room for all of it now, so this only copies. */
	if (skb->data_len && !__pskb_pull_tail(skb, skb->data_len))
		return -ENOMEM;
	return 0;
}

int wg_skb_seal(struct sk_buff *skb, const u8 *header, u32 pad, u64 nonce, const u8 *key)
{
	u8 *text;
	u32 len;
	int ret;

	BUILD_BUG_ON(WG_SEAL_HEADROOM < WG_AEAD_BLOCK);
	if (unlikely(skb_is_gso(skb)))
		return -EINVAL;
	if (unlikely(pad > U16_MAX || skb->len > INT_MAX / 4))
		return -EMSGSIZE;

	ret = wg_skb_make_room(skb, pad + WG_AEAD_TAG);
	if (unlikely(ret))
		return ret;
	if (skb->ip_summed == CHECKSUM_PARTIAL) {
		ret = skb_checksum_help(skb);
		if (unlikely(ret))
			return ret;
	}

	text = skb->data;
	len = skb->len + pad;
	memset(skb_put(skb, pad + WG_AEAD_TAG), 0, pad);
	wg_aead_seal(text, len, skb_end_pointer(skb) - (text + len), nonce, key);
	memcpy(skb_push(skb, WG_MESSAGE_HEADER), header, WG_MESSAGE_HEADER);
	/* Queues and paths of the outer packet follow the inner flow. */
	wg_skb_wipe(skb, true);
	return 0;
}
