/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Outgoing packets of many messages, ready to leave as UDP GSO packets: in one page
 * or two they lie one behind the other, all of one size but the last.
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

#define WG_OUTER_PAGES 2

/* How many messages of this size fit one page; 0 if not even one does. */
static inline u32 wg_outer_page_most(u32 message_len)
{
	/* Behind the last one there is room, too. */
	return (WG_PAGE_BYTES - WG_BLOCK_AHEAD - WG_AEAD_BEHIND) / message_len;
}

/* How many fit one packet. */
static inline u32 wg_outer_most(u32 message_len)
{
	return min3(WG_OUTER_PAGES * wg_outer_page_most(message_len),
		    (u32)(WG_OUTER_MAX / message_len), (u32)WG_OUTER_MESSAGES);
}

/* A packet for this many messages, empty as yet. NULL if memory is short. */
struct sk_buff *wg_outer_new(u32 messages, u32 message_len);
/*
 * Adds a page with len bytes of messages. Returns the place of the first, a block
 * ahead of which may be written, or NULL if memory is short. BH disabled.
 */
u8 *wg_outer_add(struct sk_buff *outer, u32 len);
/*
 * Encrypts the text that lies a header behind place and completes the message;
 * what is ahead of place is as before afterwards, WG_AEAD_BEHIND bytes behind the
 * text are overwritten. Of the header the last eight
 * bytes are replaced by the nonce.
 */
void wg_outer_seal(u8 *place, u32 text_len, const u8 *header, u64 nonce, const u8 *key);
/* It gets the flow hash and, if there is one, the delivery time of a packet that it is made of. */
void wg_outer_like(struct sk_buff *outer, const struct sk_buff *from);
/*
 * The complete packets of the list, linked by next, take the place of another one
 * in the account of that one's socket, and the last one its place with whoever
 * wants to be told when it has left.
 */
void wg_outer_own(struct sk_buff *list, struct sk_buff *from);

#endif
