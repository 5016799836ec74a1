// SPDX-License-Identifier: GPL-2.0
/* Packets: linear, in fragments, in trains; the functions that the driver calls. */
#include <linux/gfp.h>
#include <linux/skbuff.h>

#include "aead_test.h"
#include "pages.h"
#include "wg_helpers.h"

#define HEADER 16

static const u8 header[HEADER] = { 4, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };

/*
 * A packet with these bytes: the first linear ones in the head, the others in pages, each
 * piece at an odd place.
 */
static struct sk_buff *scattered(const u8 *data, u32 len, u32 linear)
{
	struct sk_buff *skb;
	u32 done, piece;

	linear = min(linear, len);
	/* Pieces so large that they are never too many. */
	piece = clamp_t(u32, (len - linear) / 13 + 1, 61, 6000);
	skb = alloc_skb(128 + linear, GFP_KERNEL);
	if (!skb)
		return NULL;
	skb_reserve(skb, 128);
	skb_put_data(skb, data, linear);
	for (done = linear; done < len; done += piece) {
		const u32 here = min(piece, len - done);
		/* Two pages: a piece may cross. */
		struct page *page = alloc_pages(GFP_KERNEL | __GFP_COMP, 1);
		const u32 offset = (done * 13 + 1) % (2 * PAGE_SIZE - here);

		if (!page)
			goto err;
		memcpy((u8 *)page_address(page) + offset, data + done, here);
		skb_add_rx_frag(skb, skb_shinfo(skb)->nr_frags, page, offset, here, 2 * PAGE_SIZE);
	}
	return skb;
err:
	kfree_skb(skb);
	return NULL;
}

/* Lengths of the head that are tried, for this text. */
static u32 linear_of(const struct sample *sample, int i)
{
	const u32 len = sample->len, some[] = { 0, 1 + len % 60, len / 2 + 1, len + HEADER + 64 };

	return some[i];
}

/* Header and ciphertext of the sample in buffer. */
static u32 message(const struct sample *sample, u8 *buffer)
{
	memcpy(buffer, header, HEADER);
	memcpy(buffer + HEADER, sample->cipher, sample->len + WG_AEAD_TAG);
	return HEADER + sample->len + WG_AEAD_TAG;
}

bool test_packet_seal(const struct sample *sample, u8 *buffer)
{
	const u32 len = sample->len;
	int i;

	for (i = 0; i < 4; i++) {
		struct sk_buff *skb = scattered(sample->plain, len, linear_of(sample, i));
		bool same;

		if (!skb)
			return wrong(len, "no memory");
		same = !wg_skb_seal(skb, header, 0, sample->nonce, sample->key) &&
		       skb->len == message(sample, buffer) &&
		       !skb_copy_bits(skb, 0, buffer + LONGEST + AROUND, skb->len) &&
		       !memcmp(buffer, buffer + LONGEST + AROUND, skb->len);
		kfree_skb(skb);
		if (!same)
			return wrong(len, "a packet was sealed to something else");
	}
	return true;
}

bool test_packet_open(const struct sample *sample, u8 *buffer)
{
	const u32 len = sample->len, message_len = message(sample, buffer);
	int i;

	/* Each layout, and each with a wrong bit. */
	for (i = 0; i < 8; i++) {
		const bool forged = i >= 4;
		struct sk_buff *skb, *other = NULL;
		bool same;
		int result;

		if (forged)
			buffer[message_len - 1 - len % WG_AEAD_TAG] ^= 4;
		skb = scattered(buffer, message_len, linear_of(sample, i % 4));
		if (forged)
			buffer[message_len - 1 - len % WG_AEAD_TAG] ^= 4;
		/* Once somebody else sees it, too. */
		if (skb && i == 2)
			other = skb_clone(skb, GFP_KERNEL);
		if (!skb || (i == 2 && !other)) {
			kfree_skb(skb);
			return wrong(len, "no memory");
		}
		skb = wg_skb_open(skb, HEADER, sample->nonce, sample->key, &result);
		same = result == (forged ? -EBADMSG : 0);
		if (!result)
			same &= skb->len == len && !skb_is_nonlinear(skb) &&
				!memcmp(skb->data, sample->plain, len);
		if (other)
			same &= !skb_copy_bits(other, 0, buffer + LONGEST + AROUND, message_len) &&
				!memcmp(buffer, buffer + LONGEST + AROUND, message_len);
		kfree_skb(skb);
		kfree_skb(other);
		if (!same)
			return wrong(len, forged ? "a forged packet was opened" :
						   "a packet was opened to something else");
	}
	return true;
}

bool test_packet_train(const struct sample *sample, u8 *buffer)
{
	const u32 len = sample->len, message_len = message(sample, buffer);
	int i, j;

	if (3 * message_len > LONGEST)
		return wrong(len, "too long for three of them");
	memcpy(buffer + message_len, buffer, message_len);
	memcpy(buffer + 2 * message_len, buffer, message_len);
	for (i = 0; i < 4; i++) {
		struct sk_buff *train;
		struct wg_train at;
		bool same = true;

		/* The third time the second one is forged. */
		buffer[2 * message_len - 1] ^= i == 2;
		train = scattered(buffer, 3 * message_len, linear_of(sample, i) * 2);
		buffer[2 * message_len - 1] ^= i == 2;
		if (!train)
			return wrong(len, "no memory");
		wg_train_begin(train, &at);
		for (j = 0; j < 3 && same; j++) {
			struct sk_buff *opened = NULL;
			int result;

			local_bh_disable();
			result = wg_train_open(train, &at, j * message_len, message_len, HEADER,
					       sample->nonce, sample->key, &opened);
			local_bh_enable();
			if (i == 2 && j == 1)
				same = result == -EBADMSG && !opened;
			else
				same = !result && opened->len == len &&
				       !memcmp(opened->data, sample->plain, len);
			kfree_skb(opened);
		}
		kfree_skb(train);
		if (!same)
			return wrong(len, "a train was opened to something else");
	}
	return true;
}

void end_packets(void)
{
	wg_pages_free();
}
