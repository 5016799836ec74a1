// SPDX-License-Identifier: GPL-2.0
/* A queue of packets that CoDel keeps short. */
#include <net/codel.h>
#include <net/codel_impl.h>

#include "wg_helpers.h"

/* In the long run a packet waits for WG_DELAY_TARGET at most, in a burst of WG_DELAY_INTERVAL more. */
#define WG_DELAY_TARGET		MS2TIME(5)
#define WG_DELAY_INTERVAL	MS2TIME(100)

/* What is done with a queue at one time. */
struct wg_delay_pop {
	struct wg_delay_queue *queue;
	/* Ends the list of dropped ones. */
	struct sk_buff **dropped;
	/* Messages at the front of the first packet that are to be dropped. */
	u32 cut;
};

/* When a packet came; behind what the driver notes, at the end of its cb. */
static codel_time_t *wg_delay_stamp(const struct sk_buff *skb)
{
	BUILD_BUG_ON(WG_SKB_CB_NOTE + sizeof(codel_time_t) > sizeof(skb->cb));
	return (codel_time_t *)(skb->cb + WG_SKB_CB_NOTE);
}

static codel_time_t wg_delay_time(const struct sk_buff *skb)
{
	return *wg_delay_stamp(skb);
}

static u32 wg_delay_len(const struct sk_buff *skb)
{
	return skb->len;
}

/* Datagrams in a packet that still has its UDP header. */
static u32 wg_delay_messages(const struct sk_buff *skb)
{
	if (!skb_is_gso(skb) || skb->len <= sizeof(struct udphdr))
		return 1;
	return DIV_ROUND_UP(skb->len - sizeof(struct udphdr), skb_shinfo(skb)->gso_size);
}

/*
 * One lost message tells a sender all that a lost train does, and costs it less.
 * A train that is far too late goes whole: there is no listening sender then.
 */
static void wg_delay_drop(struct sk_buff *skb, void *ctx)
{
	struct wg_delay_pop *pop = ctx;
	struct wg_delay_queue *queue = pop->queue;
	codel_time_t too_late = wg_delay_time(skb) + WG_DELAY_INTERVAL;

	if (pop->cut + 1 < wg_delay_messages(skb) &&
	    codel_time_before(codel_get_time(), too_late)) {
		pop->cut++;
		skb->next = queue->head;
		queue->head = skb;
		if (!queue->tail)
			queue->tail = skb;
		queue->bytes += skb->len;
		queue->shared |= skb_cloned(skb);
		return;
	}
	pop->cut = 0;
	*pop->dropped = skb;
	pop->dropped = &skb->next;
}

static struct sk_buff *wg_delay_next(struct codel_vars *vars, void *ctx)
{
	struct wg_delay_queue *queue = ((struct wg_delay_pop *)ctx)->queue;
	struct sk_buff *skb = queue->head;

	if (!skb)
		return NULL;
	queue->head = skb->next;
	if (!queue->head) {
		queue->tail = NULL;
		queue->shared = false;
	}
	skb_mark_not_on_list(skb);
	queue->bytes -= skb->len;
	return skb;
}

void wg_delay_queue_init(struct wg_delay_queue *queue)
{
	memset(queue, 0, sizeof(*queue));
	codel_vars_init(&queue->vars);
}

/* The length of a packet must not change while it waits. */
void wg_delay_queue_push(struct wg_delay_queue *queue, struct sk_buff *skb)
{
	*wg_delay_stamp(skb) = codel_get_time();
	queue->shared |= skb_cloned(skb);
	queue->bytes += skb->len;
	if (queue->tail)
		queue->tail->next = skb;
	else
		queue->head = skb;
	queue->tail = skb;
}

/*
 * The next packet, less the first *cut messages of a train. CoDel has chosen
 * these, and what becomes a list in *dropped. If senders know what that means
 * (ECN), it marks instead.
 */
struct sk_buff *wg_delay_queue_pop(struct wg_delay_queue *queue, struct sk_buff **dropped, u32 *cut)
{
	struct wg_delay_pop pop = { .queue = queue, .dropped = dropped };
	struct codel_params params;
	struct codel_stats stats;
	struct sk_buff *skb;

	codel_stats_init(&stats);
	codel_params_init(&params);
	params.target = WG_DELAY_TARGET;
	params.interval = WG_DELAY_INTERVAL;
	/* A packet here has many messages; one that waits is no queue. */
	params.mtu = GSO_LEGACY_MAX_SIZE;
	/* To mark is to write. */
	params.ecn = !queue->shared;
	*dropped = NULL;
	skb = codel_dequeue(&pop, &queue->bytes, &params, &queue->vars, &stats, wg_delay_len,
			    wg_delay_time, wg_delay_drop, wg_delay_next);
	*cut = pop.cut;
	return skb;
}
