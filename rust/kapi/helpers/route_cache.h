/* SPDX-License-Identifier: GPL-2.0 */
/* See dst_cache.c. */
#ifndef WG_ROUTE_CACHE_H
#define WG_ROUTE_CACHE_H

#include <net/dst_cache.h>

#include "wg_udp.h"

struct wg_route_cache {
	struct dst_cache routes;
	struct wg_endpoint to;
	u32 mark;
	unsigned long born;
	struct rcu_head rcu;
};

/*
 * The cache for an endpoint and mark, made if need be; NULL if there is none to
 * be had. BH disabled; valid until it is enabled again.
 */
struct dst_cache *wg_dst_cache_for(struct wg_dst_cache *cache, const struct wg_endpoint *to,
				   u32 mark);

#endif
