// SPDX-License-Identifier: GPL-2.0
/*
 * Trains: datagrams of one sender that were put together on the way, or never
 * taken apart, into one UDP GSO packet.
 */
#include <linux/skbuff.h>

#include "aead.h"
#include "pages.h"
#include "wg_helpers.h"

/* The length of each datagram of a train but the last; 0 if it is a single one. */
u32 wg_skb_train_size(const struct sk_buff *skb)
{
	return skb_is_gso(skb) ? skb_shinfo(skb)->gso_size : 0;
}

bool wg_skb_read_at(const struct sk_buff *skb, u32 offset, u8 *to, u32 len)
{
	return !skb_copy_bits(skb, offset, to, len);
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

/* An empty packet with room for len bytes and a block of headroom. */
static struct sk_buff *wg_skb_fresh(u32 len)
{
	const u32 size = SKB_DATA_ALIGN(WG_AEAD_BLOCK + len) +
			 SKB_DATA_ALIGN(sizeof(struct skb_shared_info));
	struct sk_buff *skb = NULL;
	void *part;

	BUILD_BUG_ON(NET_SKB_PAD < WG_AEAD_BLOCK);
	if (size > WG_PAGE_BYTES / 4)
		return __netdev_alloc_skb(NULL, len, GFP_ATOMIC | __GFP_NOWARN);
	local_bh_disable();
	part = wg_page_part(ALIGN(size, WG_AEAD_BLOCK));
	if (likely(part))
		skb = napi_build_skb(part, ALIGN(size, WG_AEAD_BLOCK));
	local_bh_enable();
	if (unlikely(!skb)) {
		if (part)
			put_page(virt_to_head_page(part));
		return NULL;
	}
	skb_reserve(skb, WG_AEAD_BLOCK);
	return skb;
}

/*
 * Where this part of the data lies, if it is in one piece; ahead is how much of
 * the data before it is in the same piece.
 */
static u8 *wg_skb_piece(const struct sk_buff *skb, u32 offset, u32 len, u32 *ahead)
{
	const struct skb_shared_info *info = skb_shinfo(skb);
	u32 start = skb_headlen(skb);
	int i;

	*ahead = offset;
	if (offset + len <= start)
		return skb->data + offset;
	if (offset < start || !skb_frags_readable(skb))
		return NULL;
	for (i = 0; i < info->nr_frags; i++) {
		const skb_frag_t *frag = &info->frags[i];
		const u32 end = start + skb_frag_size(frag);

		if (offset < end) {
			if (offset + len > end || PageHighMem(skb_frag_page(frag)))
				return NULL;
			*ahead = offset - start;
			return (u8 *)skb_frag_address(frag) + *ahead;
		}
		start = end;
	}
	return NULL;
}

/*
 * Opens the message at this part of the data into a packet of its own, which is
 * the only copy that is made. NULL if it is not authentic or memory is short.
 * All of the message and what was before it may be lost, if nobody else sees it.
 */
struct sk_buff *wg_skb_open_at(struct sk_buff *skb, u32 offset, u32 len, u32 header_len,
			       u64 nonce, const u8 *key)
{
	struct sk_buff *opened;
	u32 text_len, ahead;
	u8 *text;
	bool authentic;

	if (len > skb->len || offset > skb->len - len || len < WG_AEAD_TAG ||
	    header_len > len - WG_AEAD_TAG)
		return NULL;
	text_len = len - header_len - WG_AEAD_TAG;
	offset += header_len;

	opened = wg_skb_fresh(text_len + WG_AEAD_TAG);
	if (unlikely(!opened))
		return NULL;
	skb_put(opened, text_len + WG_AEAD_TAG);
	text = wg_skb_piece(skb, offset, text_len + WG_AEAD_TAG, &ahead);
	if (unlikely(!text)) {
		text = opened->data;
		if (skb_copy_bits(skb, offset, opened->data, opened->len))
			goto err;
	}
	if (text != opened->data && ahead >= WG_AEAD_BLOCK && !skb_cloned(skb) &&
	    !skb_has_shared_frag(skb))
		authentic = wg_aead_open_folded(opened->data, text, text_len, nonce, key);
	else
		authentic = wg_aead_open(opened->data, text, text_len, nonce, key);
	if (unlikely(!authentic))
		goto err;
	skb_trim(opened, text_len);
	return opened;
err:
	consume_skb(opened);
	return NULL;
}
