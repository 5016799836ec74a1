// SPDX-License-Identifier: GPL-2.0
/*
 * Trains: datagrams of one sender that were put together on the way, or never
 * taken apart, into one UDP GSO packet.
 */
#include <linux/skbuff.h>

#include "aead.h"
#include "outer.h"
#include "pages.h"
#include "wg_helpers.h"

/* The length of each datagram of a train but the last; 0 if it is a single one. */
u32 wg_skb_train_size(const struct sk_buff *skb)
{
	const struct skb_shared_info *info = skb_shinfo(skb);

	/* Not what is to become fragments of one datagram. */
	return skb_is_gso(skb) && info->gso_type & SKB_GSO_UDP_L4 ? info->gso_size : 0;
}

/* A packet of its own with this part of the data. */
struct sk_buff *wg_skb_extract(const struct sk_buff *skb, u32 offset, u32 len)
{
	struct sk_buff *copy;

	if (len > skb->len || offset > skb->len - len)
		return NULL;
	copy = __netdev_alloc_skb(NULL, len, GFP_ATOMIC | __GFP_NOWARN);
	if (unlikely(!copy))
		return NULL;
	if (unlikely(skb_copy_bits(skb, offset, skb_put(copy, len), len))) {
		consume_skb(copy);
		return NULL;
	}
	return copy;
}

/* An empty packet with room for len bytes and a block of headroom; BH disabled. */
static struct sk_buff *wg_skb_fresh(u32 len)
{
	const u32 size = SKB_DATA_ALIGN(WG_AEAD_BLOCK + len) +
			 SKB_DATA_ALIGN(sizeof(struct skb_shared_info));
	struct sk_buff *skb;
	void *part = NULL;

	BUILD_BUG_ON(NET_SKB_PAD < WG_AEAD_BLOCK);
	if (size <= WG_PAGE_BYTES / 4)
		part = wg_page_part(ALIGN(size, WG_AEAD_BLOCK));
	if (unlikely(!part))
		return __netdev_alloc_skb(NULL, len, GFP_ATOMIC | __GFP_NOWARN);
	skb = napi_build_skb(part, ALIGN(size, WG_AEAD_BLOCK));
	if (unlikely(!skb)) {
		put_page(virt_to_head_page(part));
		return NULL;
	}
	skb_reserve(skb, WG_AEAD_BLOCK);
	return skb;
}

/* Finds the piece of memory in which this part of the data lies; false if there is none. */
static bool wg_train_find(const struct sk_buff *skb, struct wg_train *train, u32 offset, u32 len)
{
	const struct skb_shared_info *info = skb_shinfo(skb);
	u32 start = skb_headlen(skb);
	int i;

	train->start = 0;
	train->end = start;
	train->piece = skb->data;
	train->sole = train->writable;
	if (offset + len <= start)
		return true;
	if (offset < start || !skb_frags_readable(skb))
		goto none;
	for (i = 0; i < info->nr_frags; i++) {
		const skb_frag_t *frag = &info->frags[i];
		const u32 end = start + skb_frag_size(frag);

		if (offset < end) {
			if (offset + len > end || PageHighMem(skb_frag_page(frag)))
				goto none;
			train->start = start;
			train->end = end;
			train->piece = skb_frag_address(frag);
			/*
			 * A packet whose header somebody wanted to write to has its
			 * fragments in common with the one that it was a clone of.
			 * Pages of a pool have a count of their own.
			 */
			train->sole = train->writable && !skb->pp_recycle &&
				      wg_page_is_sole(skb_frag_page(frag));
			return true;
		}
		start = end;
	}
none:
	train->end = 0;
	return false;
}

/* Where this part of the data lies, if it is in one piece. It is in the packet. */
static inline u8 *wg_train_at(const struct sk_buff *skb, struct wg_train *train, u32 offset, u32 len)
{
	/* Most often where the last one was. */
	if (unlikely(offset < train->start || offset + len > train->end) &&
	    !wg_train_find(skb, train, offset, len))
		return NULL;
	return train->piece + (offset - train->start);
}

/* How the packet's datagrams can be reached; all begins with nothing known. */
void wg_train_begin(const struct sk_buff *skb, struct wg_train *train)
{
	*train = (struct wg_train) {
		.writable = !skb_cloned(skb) && !skb_has_shared_frag(skb),
	};
}

bool wg_train_read(const struct sk_buff *skb, struct wg_train *train, u32 offset, u8 *to, u32 len)
{
	const u8 *from;

	if (unlikely(len > skb->len || offset > skb->len - len))
		return false;
	from = wg_train_at(skb, train, offset, len);
	if (unlikely(!from))
		return !skb_copy_bits(skb, offset, to, len);
	/* The length that is asked for once a message: no call. */
	if (likely(len == WG_MESSAGE_HEADER))
		memcpy(to, from, WG_MESSAGE_HEADER);
	else
		memcpy(to, from, len);
	return true;
}

/*
 * Opens the message at this part of the data into a packet of its own, which is
 * the only copy that is made. -EBADMSG if it is not authentic, -ENOMEM.
 * All of the message and what was before it may be lost, if nobody else sees it.
 * BH disabled.
 */
int wg_train_open(struct sk_buff *skb, struct wg_train *train, u32 offset, u32 len,
		  u32 header_len, u64 nonce, const u8 *key, struct sk_buff **result)
{
	struct sk_buff *opened;
	bool authentic;
	u32 text_len;
	u8 *text;

	if (len > skb->len || offset > skb->len - len || len < WG_AEAD_TAG ||
	    header_len > len - WG_AEAD_TAG)
		return -EBADMSG;
	text_len = len - header_len - WG_AEAD_TAG;
	offset += header_len;

	opened = wg_skb_fresh(text_len + WG_AEAD_TAG);
	if (unlikely(!opened))
		return -ENOMEM;
	__skb_put(opened, text_len + WG_AEAD_TAG);
	text = wg_train_at(skb, train, offset, text_len + WG_AEAD_TAG);
	if (unlikely(!text)) {
		text = opened->data;
		if (skb_copy_bits(skb, offset, opened->data, opened->len))
			goto err;
		authentic = wg_aead_open(text, text, text_len, nonce, key);
	} else if (train->sole && offset - train->start >= WG_AEAD_BLOCK) {
		authentic = wg_aead_open_folded(opened->data, text, text_len,
						train->end - offset - text_len, nonce, key);
	} else {
		authentic = wg_aead_open(opened->data, text, text_len, nonce, key);
	}
	if (unlikely(!authentic))
		goto err;
	skb_trim(opened, text_len);
	*result = opened;
	return 0;
err:
	consume_skb(opened);
	return -EBADMSG;
}
