// SPDX-License-Identifier: GPL-2.0
/*
 * From packets that wait together to messages that leave together: what GSO
 * packets are for large ones, a run of small ones of one flow can be as well.
 */
#include <linux/skbuff.h>

#include "outer.h"
#include "wg_helpers.h"

/* What is due within so many nanoseconds leaves when the first of it does. */
#define WG_RUN_SPREAD (100 * NSEC_PER_USEC)

/* The content with its checksum completed. */
static bool wg_run_copy(const struct sk_buff *skb, u8 *text)
{
	__sum16 *check;

	if (skb->ip_summed != CHECKSUM_PARTIAL)
		return !skb_copy_bits(skb, 0, text, skb->len);
	if (unlikely(skb_checksum_start_offset(skb) < 0 ||
		     skb_checksum_start_offset(skb) > skb_headlen(skb) ||
		     skb_checksum_start_offset(skb) + skb->csum_offset + sizeof(*check) > skb->len))
		return false;
	skb_copy_and_csum_dev(skb, text);
	/* For UDP zero means that there is none; for others both are the same. */
	check = (__sum16 *)(text + skb_checksum_start_offset(skb) + skb->csum_offset);
	if (unlikely(!*check))
		*check = CSUM_MANGLED_0;
	return true;
}

u32 wg_skb_run_most(u32 text_len)
{
	if (unlikely(text_len > WG_PAGE_BYTES))
		return 0;
	return min_t(u32, wg_outer_page_most(WG_MESSAGE_HEADER + text_len + WG_AEAD_TAG),
		     WG_OUTER_MESSAGES);
}

/*
 * The texts of all but the last packet of the list have full_text bytes with
 * padding, that of the last one last_text. On success the packet that comes back
 * replaces the list, on failure (NULL) the list is as before. Process or BH
 * context.
 */
struct sk_buff *wg_skb_seal_run(struct sk_buff *list, u32 count, const u8 *header, u32 full_text,
				u32 last_text, u64 nonce, const u8 *key)
{
	const u32 message_len = WG_MESSAGE_HEADER + full_text + WG_AEAD_TAG;
	struct sk_buff *skb, *next, *outer;
	u8 *place;

	if (unlikely(last_text > full_text || !count || count > wg_skb_run_most(full_text)))
		return NULL;

	local_bh_disable();
	outer = wg_outer_new(count, message_len);
	if (unlikely(!outer))
		goto out;
	place = wg_outer_add(outer, count * message_len - (full_text - last_text));
	if (unlikely(!place))
		goto err;
	for (skb = list; skb; skb = skb->next) {
		const u32 len = skb->len, text_len = skb->next ? full_text : last_text;
		u8 *text = place + WG_MESSAGE_HEADER;

		if (unlikely(!count-- || skb_is_gso(skb) || len > text_len ||
			     !wg_run_copy(skb, text)))
			goto err;
		memset(text + len, 0, text_len - len);
		wg_outer_seal(place, text_len, header, nonce++, key);
		place += message_len;
	}
	if (unlikely(count))
		goto err;
	wg_outer_like(outer, list);
	for (skb = list; skb; skb = next) {
		next = skb->next;
		skb_mark_not_on_list(skb);
		if (!next)
			wg_outer_own(outer, skb);
		consume_skb(skb);
	}
out:
	local_bh_enable();
	return outer;
err:
	local_bh_enable();
	kfree_skb(outer);
	return NULL;
}

/* Whether somebody wants to be told when just this packet has left. */
bool wg_skb_is_stamped(const struct sk_buff *skb)
{
	return skb_shinfo(skb)->tx_flags & SKBTX_ANY_TSTAMP;
}

/*
 * Whether it may leave together with the first of a run: it is due at about the
 * same time, and nobody wants to be told of just this one.
 */
bool wg_skb_leaves_with(const struct sk_buff *skb, const struct sk_buff *first)
{
	if (wg_skb_is_stamped(skb) || skb->tstamp_type != first->tstamp_type)
		return false;
	return !skb->tstamp_type ||
	       abs(ktime_sub(skb->tstamp, first->tstamp)) <= WG_RUN_SPREAD;
}

/* The hash of the packet's flow, if it was computed. */
u32 wg_skb_hash(const struct sk_buff *skb)
{
	return skb->hash;
}
