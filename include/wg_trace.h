/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Trace points: the C side of wg_kapi's trace module. Each is a function, a call
 * and a patched branch while nobody listens. None is on the way of a packet that
 * gets through, and none is told a key.
 */
#ifndef WG_TRACE_H
#define WG_TRACE_H

#include <linux/types.h>

struct net_device;
struct wg_endpoint;

/* What happened to a handshake. */
#define WG_TRACE_HANDSHAKES(M)			\
	M(INITIATION_SENT, "initiation_sent")	\
	M(INITIATION_REFUSED, "initiation_refused") \
	M(INITIATION_RECEIVED, "initiation_received") \
	M(RESPONSE_SENT, "response_sent")	\
	M(RESPONSE_RECEIVED, "response_received") \
	M(COOKIE_SENT, "cookie_sent")		\
	M(COOKIE_RECEIVED, "cookie_received")	\
	M(COMPLETED, "completed")		\
	M(GIVEN_UP, "given_up")

/* What happened to keys. */
#define WG_TRACE_KEYS(M)			\
	M(CREATED, "created")			\
	M(CONFIRMED, "confirmed")		\
	M(EXPIRED, "expired")			\
	M(DESTROYED, "destroyed")		\
	M(WIPED, "wiped")

/* What happened to an endpoint. */
#define WG_TRACE_ENDPOINTS(M)			\
	M(CONFIGURED, "configured")		\
	M(MOVED, "moved")			\
	M(SOURCE_FORGOTTEN, "source_forgotten")

/* Which timer has expired. */
#define WG_TRACE_TIMERS(M)			\
	M(RETRANSMIT, "retransmit")		\
	M(SILENCE, "silence")			\
	M(KEEPALIVE, "keepalive")		\
	M(FORGET, "forget")			\
	M(GIVE_UP, "give_up")

#define WG_TRACE_HANDSHAKE_ENUM(name, text) WG_HANDSHAKE_##name,
#define WG_TRACE_KEY_ENUM(name, text) WG_KEY_##name,
#define WG_TRACE_ENDPOINT_ENUM(name, text) WG_ENDPOINT_##name,
#define WG_TRACE_TIMER_ENUM(name, text) WG_TIMER_##name,

enum wg_trace_handshakes { WG_TRACE_HANDSHAKES(WG_TRACE_HANDSHAKE_ENUM) };
enum wg_trace_keys { WG_TRACE_KEYS(WG_TRACE_KEY_ENUM) };
enum wg_trace_endpoints { WG_TRACE_ENDPOINTS(WG_TRACE_ENDPOINT_ENUM) };
enum wg_trace_timers { WG_TRACE_TIMERS(WG_TRACE_TIMER_ENUM) };

void wg_trace_drop(const struct net_device *dev, u64 peer, const char *cause, u32 reason,
		   u64 count);
void wg_trace_handshake(const struct net_device *dev, u64 peer, u32 what,
			const struct wg_endpoint *at);
void wg_trace_key(const struct net_device *dev, u64 peer, u64 keypair, u32 what);
void wg_trace_endpoint(const struct net_device *dev, u64 peer, u32 what,
		       const struct wg_endpoint *at);
void wg_trace_timer(const struct net_device *dev, u64 peer, u32 what, u32 attempt);

#endif
