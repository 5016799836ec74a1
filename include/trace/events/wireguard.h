/* SPDX-License-Identifier: GPL-2.0 */
/* The trace points of the module, below /sys/kernel/tracing/events/wireguard. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM wireguard

#if !defined(_WG_TRACE_EVENTS_H) || defined(TRACE_HEADER_MULTI_READ)
#define _WG_TRACE_EVENTS_H

#include <linux/netdevice.h>
#include <linux/tracepoint.h>
#include <net/dropreason.h>

#include "wg_trace.h"
#include "wg_udp.h"

#ifndef WG_TRACE_ADDRESS
#define WG_TRACE_ADDRESS
/* The printable form of an endpoint; of none if it is NULL or unknown. */
void wg_endpoint_sockaddr(const struct wg_endpoint *endpoint, void *address);
#define WG_SOCKADDR_BYTES 28
#endif

#undef M
#define M(name, text) TRACE_DEFINE_ENUM(WG_HANDSHAKE_##name);
WG_TRACE_HANDSHAKES(M)
#undef M
#define M(name, text) TRACE_DEFINE_ENUM(WG_KEY_##name);
WG_TRACE_KEYS(M)
#undef M
#define M(name, text) TRACE_DEFINE_ENUM(WG_ENDPOINT_##name);
WG_TRACE_ENDPOINTS(M)
#undef M
#define M(name, text) TRACE_DEFINE_ENUM(WG_TIMER_##name);
WG_TRACE_TIMERS(M)
#undef M

#define WG_HANDSHAKE_TEXT(name, text) { WG_HANDSHAKE_##name, text },
#define WG_KEY_TEXT(name, text) { WG_KEY_##name, text },
#define WG_ENDPOINT_TEXT(name, text) { WG_ENDPOINT_##name, text },
#define WG_TIMER_TEXT(name, text) { WG_TIMER_##name, text },

/* Packets or messages dropped: the counter of ethtool -S that went up, and by how much. */
TRACE_EVENT(wg_drop,
	TP_PROTO(const struct net_device *dev, u64 peer, const char *cause, u32 reason, u64 count),
	TP_ARGS(dev, peer, cause, reason, count),
	TP_STRUCT__entry(
		__string(name, dev->name)
		__field(int, ifindex)
		__field(u64, peer)
		__string(cause, cause)
		__field(u32, reason)
		__field(u64, count)
	),
	TP_fast_assign(
		__assign_str(name);
		__entry->ifindex = dev->ifindex;
		__entry->peer = peer;
		__assign_str(cause);
		__entry->reason = reason;
		__entry->count = count;
	),
	TP_printk("dev=%s peer=%llu cause=%s reason=%u count=%llu", __get_str(name),
		  __entry->peer, __get_str(cause), __entry->reason, __entry->count)
);

/* A step of a handshake. */
TRACE_EVENT(wg_handshake,
	TP_PROTO(const struct net_device *dev, u64 peer, u32 what, const struct wg_endpoint *at),
	TP_ARGS(dev, peer, what, at),
	TP_STRUCT__entry(
		__string(name, dev->name)
		__field(int, ifindex)
		__field(u64, peer)
		__field(u32, what)
		__array(u8, endpoint, WG_SOCKADDR_BYTES)
	),
	TP_fast_assign(
		__assign_str(name);
		__entry->ifindex = dev->ifindex;
		__entry->peer = peer;
		__entry->what = what;
		wg_endpoint_sockaddr(at, __entry->endpoint);
	),
	TP_printk("dev=%s peer=%llu what=%s endpoint=%pISpc", __get_str(name), __entry->peer,
		  __print_symbolic(__entry->what, WG_TRACE_HANDSHAKES(WG_HANDSHAKE_TEXT) { -1, "" }),
		  __entry->endpoint)
);

/* The life of session keys, by number; keypair 0 stands for all that the peer has. */
TRACE_EVENT(wg_key,
	TP_PROTO(const struct net_device *dev, u64 peer, u64 keypair, u32 what),
	TP_ARGS(dev, peer, keypair, what),
	TP_STRUCT__entry(
		__string(name, dev->name)
		__field(int, ifindex)
		__field(u64, peer)
		__field(u64, keypair)
		__field(u32, what)
	),
	TP_fast_assign(
		__assign_str(name);
		__entry->ifindex = dev->ifindex;
		__entry->peer = peer;
		__entry->keypair = keypair;
		__entry->what = what;
	),
	TP_printk("dev=%s peer=%llu keypair=%llu what=%s", __get_str(name), __entry->peer,
		  __entry->keypair,
		  __print_symbolic(__entry->what, WG_TRACE_KEYS(WG_KEY_TEXT) { -1, "" }))
);

/* Where a peer is. */
TRACE_EVENT(wg_endpoint,
	TP_PROTO(const struct net_device *dev, u64 peer, u32 what, const struct wg_endpoint *at),
	TP_ARGS(dev, peer, what, at),
	TP_STRUCT__entry(
		__string(name, dev->name)
		__field(int, ifindex)
		__field(u64, peer)
		__field(u32, what)
		__array(u8, endpoint, WG_SOCKADDR_BYTES)
	),
	TP_fast_assign(
		__assign_str(name);
		__entry->ifindex = dev->ifindex;
		__entry->peer = peer;
		__entry->what = what;
		wg_endpoint_sockaddr(at, __entry->endpoint);
	),
	TP_printk("dev=%s peer=%llu what=%s endpoint=%pISpc", __get_str(name), __entry->peer,
		  __print_symbolic(__entry->what, WG_TRACE_ENDPOINTS(WG_ENDPOINT_TEXT) { -1, "" }),
		  __entry->endpoint)
);

/* Expired timers of a peer; attempt is the number of the initiation that is asked for, or 0. */
TRACE_EVENT(wg_timer,
	TP_PROTO(const struct net_device *dev, u64 peer, u32 what, u32 attempt),
	TP_ARGS(dev, peer, what, attempt),
	TP_STRUCT__entry(
		__string(name, dev->name)
		__field(int, ifindex)
		__field(u64, peer)
		__field(u32, what)
		__field(u32, attempt)
	),
	TP_fast_assign(
		__assign_str(name);
		__entry->ifindex = dev->ifindex;
		__entry->peer = peer;
		__entry->what = what;
		__entry->attempt = attempt;
	),
	TP_printk("dev=%s peer=%llu what=%s attempt=%u", __get_str(name), __entry->peer,
		  __print_symbolic(__entry->what, WG_TRACE_TIMERS(WG_TIMER_TEXT) { -1, "" }),
		  __entry->attempt)
);

#endif

#include <trace/define_trace.h>
