// SPDX-License-Identifier: GPL-2.0
/* RCU, spin locks, clock, random numbers and per-CPU counters for wg_kapi. */
#include <linux/bottom_half.h>
#include <linux/bug.h>
#include <linux/cpumask.h>
#include <linux/kernel_stat.h>
#include <linux/netdevice.h>
#include <linux/percpu.h>
#include <linux/random.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/clock.h>
#include <linux/sched/isolation.h>
#include <linux/timekeeping.h>

#include "wg_core.h"

void wg_rcu_read_lock(void)
{
	rcu_read_lock();
}

void wg_rcu_read_unlock(void)
{
	rcu_read_unlock();
}

/* As spin_lock_init(), but the lockdep class and its name are the caller's. */
void wg_spin_lock_init(spinlock_t *lock, const char *name, struct lock_class_key *key)
{
	spin_lock_init(lock);
	lockdep_set_class_and_name(lock, key, name);
}

void wg_spin_lock_bh(spinlock_t *lock)
{
	spin_lock_bh(lock);
}

void wg_spin_unlock_bh(spinlock_t *lock)
{
	spin_unlock_bh(lock);
}

int wg_spin_trylock_bh(spinlock_t *lock)
{
	return spin_trylock_bh(lock);
}

void wg_spin_assert_held(spinlock_t *lock)
{
	lockdep_assert_held(lock);
}

void wg_local_bh_disable(void)
{
	local_bh_disable();
}

void wg_local_bh_enable(void)
{
	local_bh_enable();
}

void wg_cond_resched(void)
{
	cond_resched();
}

void wg_reschedule(void)
{
	schedule();
}

void wg_warn_once(const char *what)
{
	WARN_ONCE(1, "wireguard: %s\n", what);
}

u64 wg_boottime_coarse_ns(void)
{
	return ktime_get_coarse_boottime_ns();
}

u64 wg_precise_ns(void)
{
	return ktime_get_ns();
}

u64 wg_local_ns(void)
{
	return local_clock();
}

u32 wg_cpus_online(void)
{
	return num_online_cpus();
}

u32 wg_cpu_current(void)
{
	return raw_smp_processor_id();
}

u64 wg_cpus_idle_ns(void)
{
	u64 sum = 0;
	int cpu;

	/* The mask may be replaced at any time. */
	rcu_read_lock();
	for_each_cpu_and(cpu, cpu_online_mask, housekeeping_cpumask(HK_TYPE_DOMAIN))
		sum += kcpustat_field_idle(cpu);
	rcu_read_unlock();
	return sum;
}

u32 wg_xmit_level(void)
{
#if IS_ENABLED(CONFIG_NET_ACT_MIRRED)
#ifdef CONFIG_PREEMPT_RT
	const u8 redirected = current->net_xmit.sched_mirred_nest;
#else
	const u8 redirected = this_cpu_read(softnet_data.xmit.sched_mirred_nest);
#endif

	/* By a filter, maybe with the lock of a qdisc, to which what we send may come. */
	if (unlikely(redirected))
		return U32_MAX;
#endif
	return dev_recursion_level();
}

void wg_realtime(s64 *seconds, u32 *nanoseconds)
{
	struct timespec64 now;

	ktime_get_real_ts64(&now);
	*seconds = now.tv_sec;
	*nanoseconds = now.tv_nsec;
}

u32 wg_random_below(u32 ceiling)
{
	return get_random_u32_below(ceiling);
}

/*
 * A per-CPU pointer is in an address space of its own; as an integer it can
 * pass through Rust.
 */
static u64 __percpu *wg_percpu(unsigned long counters)
{
	return (u64 __percpu *)counters;
}

unsigned long wg_percpu_alloc(u32 counters)
{
	size_t size = array_size(counters, sizeof(u64));

	return (__force unsigned long)__alloc_percpu(size, __alignof__(u64));
}

void wg_percpu_free(unsigned long counters)
{
	free_percpu(wg_percpu(counters));
}

void wg_percpu_add(unsigned long counters, u32 index, u64 n)
{
	this_cpu_add(wg_percpu(counters)[index], n);
}

u64 wg_percpu_sum(unsigned long counters, u32 index)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu_ptr(wg_percpu(counters), cpu)[index]);
	return sum;
}
