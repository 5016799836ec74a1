// SPDX-License-Identifier: GPL-2.0
/* A queue of packets that CoDel keeps short. */
#include <net/codel.h>
#include <net/codel_impl.h>

#include "wg_helpers.h"

/* What is done with a queue at one time. */
struct wg_delay_pop {
	struct wg_delay_queue *queue;
	/* Ends the list of dropped ones. */
	struct sk_buff **dropped;
};

/* When a packet came; nobody else uses its cb while it waits. */
static codel_time_t *wg_delay_stamp(const struct sk_buff *skb)
{
	BUILD_BUG_ON(sizeof(codel_time_t) > sizeof(skb->cb));
	return (codel_time_t *)skb->cb;
}

static codel_time_t wg_delay_time(const struct sk_buff *skb)
{
	return *wg_delay_stamp(skb);
}

static u32 wg_delay_len(const struct sk_buff *skb)
{
	return skb->len;
}

static void wg_delay_drop(struct sk_buff *skb, void *ctx)
{
	struct wg_delay_pop *pop = ctx;

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
 * The next packet. Those in front of it that CoDel has chosen become a list in
 * *dropped, or are marked instead if their sender knows what that means (ECN).
 */
struct sk_buff *wg_delay_queue_pop(struct wg_delay_queue *queue, struct sk_buff **dropped)
{
	struct wg_delay_pop pop = { .queue = queue, .dropped = dropped };
	struct codel_params params;
	struct codel_stats stats;

	codel_stats_init(&stats);
	codel_params_init(&params);
	/* A packet here has many messages; one that waits is no queue. */
	params.mtu = GSO_LEGACY_MAX_SIZE;
	/* To mark is to write. */
	params.ecn = !queue->shared;
	*dropped = NULL;
	return codel_dequeue(&pop, &queue->bytes, &params, &queue->vars, &stats, wg_delay_len,
			     wg_delay_time, wg_delay_drop, wg_delay_next);
}
