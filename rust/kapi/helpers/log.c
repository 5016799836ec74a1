// SPDX-License-Identifier: GPL-2.0
/*
 * Messages in the kernel log for wg_kapi: the bodies of the lists in wg_log.h.
 *
 * What a remote sender or the traffic can cause is rate limited; what marks the
 * life of an object is not, so that it can be followed.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/in.h>
#include <linux/in6.h>
#include <linux/net.h>
#include <linux/netdevice.h>
#include <linux/printk.h>
#include <linux/socket.h>

#include "wg_log.h"
#include "wg_udp.h"

/* The printable form of an endpoint, whatever its family. */
static void wg_log_address(const struct wg_endpoint *endpoint, struct sockaddr_in6 *address)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)address;

	memset(address, 0, sizeof(*address));
	address->sin6_family = endpoint->family;
	address->sin6_port = (__force __be16)endpoint->port;
	if (endpoint->family == AF_INET)
		memcpy(&v4->sin_addr, endpoint->address, sizeof(v4->sin_addr));
	else
		memcpy(&address->sin6_addr, endpoint->address, sizeof(address->sin6_addr));
	if (endpoint->family == AF_INET6)
		address->sin6_scope_id = endpoint->scope_id;
}

#define DEFINE_INTERFACE(id, text) \
void wg_log_##id(const struct net_device *dev) \
{ \
	pr_debug("%s: " text "\n", dev->name); \
}

#define DEFINE_PEER(id, text) \
void wg_log_##id(const struct net_device *dev, u64 peer) \
{ \
	pr_debug("%s: " text "\n", dev->name, peer); \
}

#define DEFINE_KEYPAIR(id, text) \
void wg_log_##id(const struct net_device *dev, u64 keypair, u64 peer) \
{ \
	pr_debug("%s: " text "\n", dev->name, keypair, peer); \
}

#define DEFINE_PEER_AT(id, text) \
void wg_log_##id(const struct net_device *dev, u64 peer, const struct wg_endpoint *at) \
{ \
	struct sockaddr_in6 address; \
\
	wg_log_address(at, &address); \
	net_dbg_ratelimited("%s: " text "\n", dev->name, peer, &address); \
}

#define DEFINE_ATTEMPT(id, text) \
void wg_log_##id(const struct net_device *dev, u64 peer, const struct wg_endpoint *at, u32 attempt) \
{ \
	struct sockaddr_in6 address; \
\
	wg_log_address(at, &address); \
	net_dbg_ratelimited("%s: " text "\n", dev->name, peer, &address, attempt); \
}

#define DEFINE_COUNTER(id, text) \
void wg_log_##id(const struct net_device *dev, u64 peer, u64 counter) \
{ \
	net_dbg_ratelimited("%s: " text "\n", dev->name, peer, counter); \
}

#define DEFINE_FROM(id, text) \
void wg_log_##id(const struct net_device *dev, const struct wg_endpoint *from) \
{ \
	struct sockaddr_in6 address; \
\
	wg_log_address(from, &address); \
	net_dbg_ratelimited("%s: " text "\n", dev->name, &address); \
}

#define DEFINE_TRAFFIC(id, text) \
void wg_log_##id(const struct net_device *dev) \
{ \
	net_dbg_ratelimited("%s: " text "\n", dev->name); \
}

WG_LOG_INTERFACE(DEFINE_INTERFACE)
WG_LOG_PEER(DEFINE_PEER)
WG_LOG_KEYPAIR(DEFINE_KEYPAIR)
WG_LOG_PEER_AT(DEFINE_PEER_AT)
WG_LOG_ATTEMPT(DEFINE_ATTEMPT)
WG_LOG_COUNTER(DEFINE_COUNTER)
WG_LOG_FROM(DEFINE_FROM)
WG_LOG_TRAFFIC(DEFINE_TRAFFIC)

void wg_log_info(const struct net_device *dev, const void *text)
{
	net_info_ratelimited("%s: %pA\n", dev->name, text);
}

void wg_log_error(const struct net_device *dev, const void *text)
{
	net_err_ratelimited("%s: %pA\n", dev->name, text);
}

/* Only an administrator can cause it. */
void wg_log_no_socket(const struct net_device *dev, int version)
{
	pr_err("%s: Could not create IPv%d socket\n", dev->name, version);
}

void wg_log_leak(u64 objects)
{
	pr_err("%llu objects leaked\n", objects);
}
