// SPDX-License-Identifier: GPL-2.0
/* Trace points. */
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/netdevice.h>

#include "wg_helpers.h"

#define CREATE_TRACE_POINTS
#include <trace/events/wireguard.h>

static_assert(WG_SOCKADDR_BYTES == sizeof(struct sockaddr_in6));

void wg_endpoint_sockaddr(const struct wg_endpoint *endpoint, void *bytes)
{
	struct sockaddr_in6 *v6 = bytes;
	struct sockaddr_in *v4 = bytes;

	memset(bytes, 0, sizeof(*v6));
	if (!endpoint)
		return;
	v6->sin6_family = endpoint->family;
	v6->sin6_port = (__force __be16)endpoint->port;
	if (endpoint->family == AF_INET) {
		memcpy(&v4->sin_addr, endpoint->address, sizeof(v4->sin_addr));
	} else if (endpoint->family == AF_INET6) {
		memcpy(&v6->sin6_addr, endpoint->address, sizeof(v6->sin6_addr));
		v6->sin6_scope_id = endpoint->scope_id;
	}
}

void wg_trace_drop(const struct net_device *dev, u64 peer, const char *cause, u32 reason,
		   u64 count)
{
	trace_wg_drop(dev, peer, cause, reason, count);
}

void wg_trace_handshake(const struct net_device *dev, u64 peer, u32 what,
			const struct wg_endpoint *at)
{
	trace_wg_handshake(dev, peer, what, at);
}

void wg_trace_key(const struct net_device *dev, u64 peer, u64 keypair, u32 what)
{
	trace_wg_key(dev, peer, keypair, what);
}

void wg_trace_endpoint(const struct net_device *dev, u64 peer, u32 what,
		       const struct wg_endpoint *at)
{
	trace_wg_endpoint(dev, peer, what, at);
}

void wg_trace_timer(const struct net_device *dev, u64 peer, u32 what, u32 attempt)
{
	trace_wg_timer(dev, peer, what, attempt);
}
