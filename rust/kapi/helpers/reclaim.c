// SPDX-License-Identifier: GPL-2.0
/*
 * Objects that nobody can see any more, to be taken apart by a worker: one by
 * one, whatever their depth in a tree, and without keeping softirqs waiting.
 */
#include <linux/build_bug.h>
#include <linux/llist.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/workqueue.h>

#include "wg_core.h"

static LLIST_HEAD(wg_reclaim_list);

/* The first word of both links to the next one. */
static_assert(offsetof(struct rcu_head, next) == offsetof(struct llist_node, next));
static_assert(sizeof(struct rcu_head) >= sizeof(struct llist_node));

static void wg_reclaim_run(struct work_struct *work)
{
	struct llist_node *node, *next;
	struct rcu_head *head;

	/* What is taken apart adds what was in it. */
	while ((node = llist_del_all(&wg_reclaim_list))) {
		llist_for_each_safe(node, next, node) {
			head = (struct rcu_head *)node;
			head->func(head);
			cond_resched();
		}
	}
}

static DECLARE_WORK(wg_reclaim_work, wg_reclaim_run);

/* Any context. */
void wg_reclaim_later(struct rcu_head *head, void (*reclaim)(struct rcu_head *head))
{
	head->func = reclaim;
	if (llist_add((struct llist_node *)head, &wg_reclaim_list))
		queue_work(system_dfl_wq, &wg_reclaim_work);
}

/* Waits for all that was added before. Process context. */
void wg_reclaim_flush(void)
{
	flush_work(&wg_reclaim_work);
}
