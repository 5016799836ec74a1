// SPDX-License-Identifier: GPL-2.0
/*
 * Routes to one endpoint, one per CPU.
 *
 * A cache belongs to the endpoint and mark that it was made for, and is replaced
 * whole when they change. So a sender with an old copy of the endpoint cannot
 * leave its route to those with the new one, and forgetting all routes at once
 * needs no agreement with the senders: they see the old cache or none, and its
 * routes are given back when the last of them is through.
 */
#include <linux/jiffies.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>

#include "route_cache.h"
#include "wg_helpers.h"

/* A peer that talks from several places at once shall not cost an allocation a packet. */
#define WG_ROUTE_CACHE_MIN_AGE (HZ / 10)

static void wg_route_cache_free(struct rcu_head *rcu)
{
	struct wg_route_cache *cache = container_of(rcu, struct wg_route_cache, rcu);

	dst_cache_destroy(&cache->routes);
	kfree(cache);
}

static struct wg_route_cache *wg_route_cache_new(const struct wg_endpoint *to, u32 mark)
{
	struct wg_route_cache *cache = kzalloc(sizeof(*cache), GFP_ATOMIC | __GFP_NOWARN);

	if (unlikely(!cache))
		return NULL;
	if (unlikely(dst_cache_init(&cache->routes, GFP_ATOMIC | __GFP_NOWARN))) {
		kfree(cache);
		return NULL;
	}
	cache->to = *to;
	cache->mark = mark;
	cache->born = jiffies;
	return cache;
}

static struct wg_route_cache __rcu **wg_dst_cache_slot(struct wg_dst_cache *cache)
{
	return (struct wg_route_cache __rcu **)&cache->current_cache;
}

struct dst_cache *wg_dst_cache_for(struct wg_dst_cache *cache, const struct wg_endpoint *to,
				   u32 mark)
{
	struct wg_route_cache __rcu **slot;
	struct wg_route_cache *current_cache, *fresh;

	if (!cache)
		return NULL;
	slot = wg_dst_cache_slot(cache);
	current_cache = rcu_dereference_bh(*slot);
	if (likely(current_cache && current_cache->mark == mark &&
		   !memcmp(&current_cache->to, to, sizeof(*to))))
		return &current_cache->routes;
	if (current_cache && time_before(jiffies, current_cache->born + WG_ROUTE_CACHE_MIN_AGE))
		return NULL;

	fresh = wg_route_cache_new(to, mark);
	if (unlikely(!fresh))
		return NULL;
	if (cmpxchg(&cache->current_cache, current_cache, fresh) != current_cache) {
		/* Someone else was faster; theirs may be for another endpoint. */
		wg_route_cache_free(&fresh->rcu);
		return NULL;
	}
	if (current_cache)
		call_rcu(&current_cache->rcu, wg_route_cache_free);
	return &fresh->routes;
}

void wg_dst_cache_reset(struct wg_dst_cache *cache)
{
	struct wg_route_cache *old = xchg(&cache->current_cache, NULL);

	if (old)
		call_rcu(&old->rcu, wg_route_cache_free);
}
