/* SPDX-License-Identifier: GPL-2.0 */
/* C side of wg_kapi: RCU, locks, work, timers, clock, random, per-CPU counters. */
#ifndef WG_CORE_H
#define WG_CORE_H

#include <linux/rcupdate.h>
#include <linux/spinlock.h>
#include <linux/timer.h>
#include <linux/types.h>
#include <linux/workqueue.h>

struct net_device;

/* helpers/core.c: locks and RCU */
void wg_rcu_read_lock(void);
void wg_rcu_read_unlock(void);
void wg_spin_lock_init(spinlock_t *lock, const char *name, struct lock_class_key *key);
void wg_spin_lock_bh(spinlock_t *lock);
void wg_spin_unlock_bh(spinlock_t *lock);
int wg_spin_trylock_bh(spinlock_t *lock);
void wg_spin_assert_held(spinlock_t *lock);
void wg_local_bh_disable(void);
void wg_local_bh_enable(void);
void wg_cond_resched(void);
void wg_reschedule(void);
void wg_warn_once(const char *what);

/* helpers/reclaim.c */
void wg_reclaim_later(struct rcu_head *head, void (*reclaim)(struct rcu_head *head));
void wg_reclaim_flush(void);

/* helpers/core.c: clock, random, per-CPU counters */
u64 wg_boottime_coarse_ns(void);
u64 wg_precise_ns(void);
u64 wg_local_ns(void);
u32 wg_cpus_online(void);
u32 wg_cpu_current(void);
u64 wg_cpus_idle_ns(void);
u32 wg_xmit_level(void);
void wg_realtime(s64 *seconds, u32 *nanoseconds);
u32 wg_random_below(u32 ceiling);
unsigned long wg_percpu_alloc(u32 counters);
void wg_percpu_free(unsigned long counters);
void wg_percpu_add(unsigned long counters, u32 index, u64 n);
u64 wg_percpu_sum(unsigned long counters, u32 index);

/* helpers/work.c */
#define WG_QUEUE_PERCPU		(1u << 0)
#define WG_QUEUE_UNBOUND	(1u << 1)
#define WG_QUEUE_FREEZABLE	(1u << 2)
#define WG_QUEUE_MEM_RECLAIM	(1u << 3)
#define WG_QUEUE_CPU_INTENSIVE	(1u << 4)
struct workqueue_struct *wg_queue_alloc(const char *prefix, const struct net_device *dev,
					u32 flags, u32 max_active);
void wg_queue_flush(struct workqueue_struct *queue);
void wg_work_init(struct work_struct *work, void (*run)(struct work_struct *work));
bool wg_work_queue(struct workqueue_struct *queue, struct work_struct *work);
void wg_delayed_init(struct delayed_work *work, void (*run)(struct work_struct *work));
bool wg_delayed_queue(struct delayed_work *work, u64 after);
bool wg_delayed_cancel_sync(struct delayed_work *work);
bool wg_work_queue_on(u32 cpu, struct workqueue_struct *queue, struct work_struct *work);

/* helpers/timer.c: `after` is in nanoseconds, rounded up to jiffies */
void wg_timer_init(struct timer_list *timer, void (*expired)(struct timer_list *timer));
bool wg_timer_arm(struct timer_list *timer, u64 after);
bool wg_timer_reduce(struct timer_list *timer, u64 after);
bool wg_timer_pending(const struct timer_list *timer);

#endif
