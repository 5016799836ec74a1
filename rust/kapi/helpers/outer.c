// SPDX-License-Identifier: GPL-2.0
/* See outer.h. */
#include <linux/ipv6.h>
#include <linux/unaligned.h>
#include <net/sock.h>
#include <net/tcp.h>

#include "outer.h"

#define WG_OUTER_HEADROOM \
	ALIGN(sizeof(struct udphdr) + sizeof(struct ipv6hdr) + NET_SKB_PAD + WG_MESSAGE_HEADER, 4)

struct sk_buff *wg_outer_new(u32 messages, u32 message_len)
{
	struct sk_buff *outer = alloc_skb(WG_OUTER_HEADROOM, GFP_ATOMIC | __GFP_NOWARN);

	if (unlikely(!outer))
		return NULL;
	skb_reserve(outer, WG_OUTER_HEADROOM);
	if (messages > 1) {
		skb_shinfo(outer)->gso_size = message_len;
		skb_shinfo(outer)->gso_segs = messages;
		skb_shinfo(outer)->gso_type = SKB_GSO_UDP_L4;
		/* The UDP header will be right ahead of the data. */
		outer->ip_summed = CHECKSUM_PARTIAL;
		outer->csum_start = skb_headroom(outer) - sizeof(struct udphdr);
		outer->csum_offset = offsetof(struct udphdr, check);
	}
	return outer;
}

u8 *wg_outer_add(struct sk_buff *outer, u32 len)
{
	struct page *page = wg_page_get(WG_BLOCK_AHEAD + len + WG_AEAD_BEHIND);

	if (unlikely(!page))
		return NULL;
	skb_fill_page_desc(outer, skb_shinfo(outer)->nr_frags, page, WG_BLOCK_AHEAD, len);
	outer->len += len;
	outer->data_len += len;
	outer->truesize += len;
	return (u8 *)page_address(page) + WG_BLOCK_AHEAD;
}

void wg_outer_seal(u8 *place, u32 text_len, const u8 *header, u64 nonce, const u8 *key)
{
	u8 ahead[WG_BLOCK_AHEAD];

	/* The key block overwrites the end of the message before. */
	memcpy(ahead, place - WG_BLOCK_AHEAD, sizeof(ahead));
	wg_aead_seal(place + WG_MESSAGE_HEADER, text_len, WG_AEAD_BEHIND, nonce, key);
	memcpy(place - WG_BLOCK_AHEAD, ahead, sizeof(ahead));
	memcpy(place, header, WG_MESSAGE_HEADER - sizeof(u64));
	put_unaligned_le64(nonce, place + WG_MESSAGE_HEADER - sizeof(u64));
}

void wg_outer_like(struct sk_buff *outer, const struct sk_buff *from)
{
	skb_copy_hash(outer, from);
	/* Without a type it is when the packet was received. */
	if (from->tstamp_type)
		skb_set_delivery_time(outer, from->tstamp, from->tstamp_type);
}

/* Bytes of all of its pages. */
static u32 wg_outer_pages_size(const struct sk_buff *outer)
{
	const struct skb_shared_info *info = skb_shinfo(outer);
	u32 size = 0;
	int i;

	for (i = 0; i < info->nr_frags; i++)
		size += page_size(skb_frag_page(&info->frags[i]));
	return size;
}

/*
 * A socket pays for the bytes: TCP and its like take what they have paid for as a
 * measure of what is on its way, and pure acknowledgements are not to count there
 * (whoever frees one wakes nobody). What no socket pays for counts with all of its
 * pages, of which nobody else can use the rest, in queues that have a limit.
 *
 * All of the list belong to the socket, as segments of a GSO packet do: fq tells
 * flows apart by it.
 */
void wg_outer_own(struct sk_buff *list, struct sk_buff *from)
{
	const bool pays = from->sk && is_skb_wmem(from) && !skb_is_tcp_pure_ack(from);
	struct sk_buff *outer, *last = list;
	struct sock *sk = from->sk;
	int delta = -from->truesize;

	for (outer = list; outer; outer = outer->next) {
		last = outer;
		if (!pays) {
			outer->truesize += wg_outer_pages_size(outer) - outer->data_len;
			continue;
		}
		outer->sk = sk;
		outer->destructor = from->destructor;
		delta += outer->truesize;
	}
	if (!pays)
		return;
	/* Whoever wants to know when it has left means all of it. */
	skb_shinfo(last)->tx_flags |= skb_shinfo(from)->tx_flags & SKBTX_ANY_TSTAMP;
	skb_shinfo(last)->tskey = skb_shinfo(from)->tskey;
	/* What it was in the account with is theirs now. */
	from->sk = NULL;
	from->destructor = NULL;
	if (delta >= 0)
		refcount_add(delta, &sk->sk_wmem_alloc);
	else
		WARN_ON_ONCE(refcount_sub_and_test(-delta, &sk->sk_wmem_alloc));
}
