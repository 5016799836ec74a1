// SPDX-License-Identifier: GPL-2.0
/* Work queues and work items for wg_kapi. */
#include <linux/build_bug.h>
#include <linux/cpumask.h>
#include <linux/jiffies.h>
#include <linux/minmax.h>
#include <linux/netdevice.h>
#include <linux/workqueue.h>

#include "wg_core.h"

struct workqueue_struct *wg_queue_alloc(const char *prefix, const struct net_device *dev,
					u32 flags, u32 max_active)
{
	unsigned int wq_flags = 0;

	if (flags & WG_QUEUE_PERCPU)
		wq_flags |= WQ_PERCPU;
	if (flags & WG_QUEUE_UNBOUND)
		wq_flags |= WQ_UNBOUND;
	if (flags & WG_QUEUE_FREEZABLE)
		wq_flags |= WQ_FREEZABLE;
	if (flags & WG_QUEUE_MEM_RECLAIM)
		wq_flags |= WQ_MEM_RECLAIM;
	if (flags & WG_QUEUE_CPU_INTENSIVE)
		wq_flags |= WQ_CPU_INTENSIVE;
	return alloc_workqueue("%s-%s", wq_flags, min_t(u32, max_active, WQ_MAX_ACTIVE), prefix,
			       dev->name);
}

void wg_queue_flush(struct workqueue_struct *queue)
{
	flush_workqueue(queue);
}

void wg_work_init(struct work_struct *work, void (*run)(struct work_struct *work))
{
	INIT_WORK(work, run);
}

bool wg_work_queue(struct workqueue_struct *queue, struct work_struct *work)
{
	return queue_work(queue, work);
}

/* Falls back to any CPU when this one does not exist or is offline. */
bool wg_work_queue_on(u32 cpu, struct workqueue_struct *queue, struct work_struct *work)
{
	if (cpu >= nr_cpu_ids || !cpu_online(cpu))
		return queue_work(queue, work);
	return queue_work_on(cpu, queue, work);
}

void wg_delayed_init(struct delayed_work *work, void (*run)(struct work_struct *work))
{
	BUILD_BUG_ON(offsetof(struct delayed_work, work));
	INIT_DELAYED_WORK(work, run);
}

/* After so many nanoseconds, by the system's work queue. */
bool wg_delayed_queue(struct delayed_work *work, u64 after)
{
	return queue_delayed_work(system_dfl_wq, work, nsecs_to_jiffies(after));
}

bool wg_delayed_cancel_sync(struct delayed_work *work)
{
	return cancel_delayed_work_sync(work);
}
