// SPDX-License-Identifier: GPL-2.0
/* Timers for wg_kapi. */
#include <linux/jiffies.h>
#include <linux/math64.h>
#include <linux/timer.h>

#include "wg_core.h"

/* The first tick that is at least this many nanoseconds away. */
static unsigned long wg_expiry(u64 after)
{
	u64 ticks = DIV_ROUND_UP_ULL(min_t(u64, after, S64_MAX), TICK_NSEC);

	return jiffies + min_t(u64, ticks, MAX_JIFFY_OFFSET);
}

void wg_timer_init(struct timer_list *timer, void (*expired)(struct timer_list *timer))
{
	timer_setup(timer, expired, 0);
}

bool wg_timer_arm(struct timer_list *timer, u64 after)
{
	return mod_timer(timer, wg_expiry(after));
}

bool wg_timer_reduce(struct timer_list *timer, u64 after)
{
	return timer_reduce(timer, wg_expiry(after));
}

bool wg_timer_pending(const struct timer_list *timer)
{
	return timer_pending(timer);
}
