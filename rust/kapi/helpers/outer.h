/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Outgoing packets of many messages: one page, in which they lie one behind the
 * other, all of one size but the last, ready to leave as one UDP GSO packet.
 */
#ifndef WG_OUTER_H
#define WG_OUTER_H

#include <linux/ip.h>
#include <linux/minmax.h>
#include <linux/skbuff.h>
#include <linux/udp.h>

#include "aead.h"
#include "pages.h"

#define WG_MESSAGE_HEADER 16
/* Of the block ahead of a text this much lies ahead of its message. */
#define WG_BLOCK_AHEAD (WG_AEAD_BLOCK - WG_MESSAGE_HEADER)
/* What UDP allows to go in one packet on every kernel and every device. */
#define WG_OUTER_MESSAGES 64
/* The largest payload that fits the length fields of UDP and both versions of IP. */
#define WG_OUTER_MAX (U16_MAX - sizeof(struct udphdr) - sizeof(struct iphdr))

/* How many messages of this size fit one packet; 0 if not even one does. */
static inline u32 wg_outer_most(u32 message_len)
{
	/* Behind the last one there is room, too. */
	const u32 page = WG_PAGE_BYTES - WG_BLOCK_AHEAD - WG_AEAD_BEHIND;
	const u32 room = min_t(u32, page, WG_OUTER_MAX);

	return min_t(u32, room / message_len, WG_OUTER_MESSAGES);
}

/*
 * A packet of this many messages with len bytes together; the first one goes to
 * *place, a block ahead of which may be written. NULL if memory is short. BH
 * disabled.
 */
struct sk_buff *wg_outer_new(u32 messages, u32 message_len, u32 len, u8 **place);
/*
 * Encrypts the text that lies a header behind place and completes the message;
 * what is ahead of place is as before afterwards, WG_AEAD_BEHIND bytes behind the
 * text are overwritten. Of the header the last eight
 * bytes are replaced by the nonce.
 */
void wg_outer_seal(u8 *place, u32 text_len, const u8 *header, u64 nonce, const u8 *key);
/* The packet takes the place of another one in the account of that one's socket. */
void wg_outer_own(struct sk_buff *outer, struct sk_buff *from);

#endif
