/* SPDX-License-Identifier: GPL-2.0 */
/* Packets that wait, and for how long. */
#ifndef WG_QUEUE_H
#define WG_QUEUE_H

#include <linux/skbuff.h>
#include <net/codel.h>

/* May be moved; who uses it has to keep others out. */
struct wg_delay_queue {
	struct sk_buff *head;
	struct sk_buff *tail;
	u32 bytes;
	/* One of the packets is somebody else's as well. */
	bool shared;
	struct codel_vars vars;
};

void wg_delay_queue_init(struct wg_delay_queue *queue);
void wg_delay_queue_push(struct wg_delay_queue *queue, struct sk_buff *skb);
struct sk_buff *wg_delay_queue_pop(struct wg_delay_queue *queue, struct sk_buff **dropped,
				   u32 *cut);

#endif
