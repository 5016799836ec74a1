// SPDX-License-Identifier: GPL-2.0
/*
 * Messages in the kernel log for wg_kapi: the bodies of the lists in wg_log.h.
 *
 * What a remote sender or the traffic can cause is rate limited; what marks the
 * life of an object is not, so that it can be followed.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/net.h>
#include <linux/netdevice.h>
#include <linux/printk.h>
#include <linux/socket.h>

#include "wg_log.h"

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
void wg_log_##id(const struct net_device *dev, u64 peer, const struct sockaddr *at) \
{ \
	net_dbg_ratelimited("%s: " text "\n", dev->name, peer, at); \
}

#define DEFINE_ATTEMPT(id, text) \
void wg_log_##id(const struct net_device *dev, u64 peer, const struct sockaddr *at, u32 attempt) \
{ \
	net_dbg_ratelimited("%s: " text "\n", dev->name, peer, at, attempt); \
}

#define DEFINE_COUNTER(id, text) \
void wg_log_##id(const struct net_device *dev, u64 peer, u64 counter) \
{ \
	net_dbg_ratelimited("%s: " text "\n", dev->name, peer, counter); \
}

#define DEFINE_FROM(id, text) \
void wg_log_##id(const struct net_device *dev, const struct sockaddr *from) \
{ \
	net_dbg_ratelimited("%s: " text "\n", dev->name, from); \
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

void wg_log_leak(u64 objects)
{
	pr_err("%llu objects leaked\n", objects);
}
