/* SPDX-License-Identifier: GPL-2.0 */
/* Packets: the C side of wg_kapi's skb and icmp modules. */
#ifndef WG_SKB_H
#define WG_SKB_H

#include <linux/skbuff.h>
#include <linux/types.h>

#include "wg_udp.h"

/* Where Rust finds the few fields that it reads itself. */
enum wg_skb_layout {
	WG_SKB_NEXT = offsetof(struct sk_buff, next),
	WG_SKB_CB = offsetof(struct sk_buff, cb),
	WG_SKB_LEN = offsetof(struct sk_buff, len),
	WG_SKB_DATA_LEN = offsetof(struct sk_buff, data_len),
	WG_SKB_DATA = offsetof(struct sk_buff, data),
	WG_SKB_SIZE = sizeof(struct sk_buff),
	/* Bytes at the beginning of cb in which the driver notes something. */
	WG_SKB_CB_NOTE = 16,
};

/* The addresses of an inner packet; version is 4 or 6. */
struct wg_ip_info {
	u8 version;
	u8 ds;
	u8 source[16];
	u8 destination[16];
};

/* Reasons of the kernel's drop monitor that fit a tunnel. */
enum wg_drop_reason {
	WG_DROP_FULL_QUEUE = SKB_DROP_REASON_FULL_RING,
	WG_DROP_NO_MEMORY = SKB_DROP_REASON_NOMEM,
	WG_DROP_TOO_SMALL = SKB_DROP_REASON_PKT_TOO_SMALL,
	WG_DROP_INVALID_HEADER = SKB_DROP_REASON_IP_INHDR,
	WG_DROP_TOO_LONG = SKB_DROP_REASON_PKT_TOO_BIG,
	WG_DROP_TRUNCATED_HEADER = SKB_DROP_REASON_HDR_TRUNC,
	WG_DROP_CHECKSUM = SKB_DROP_REASON_UDP_CSUM,
	WG_DROP_UNHANDLED_PROTOCOL = SKB_DROP_REASON_UNHANDLED_PROTO,
	WG_DROP_NO_TARGET = SKB_DROP_REASON_NO_TX_TARGET,
	WG_DROP_NO_TUNNEL_INFO = SKB_DROP_REASON_TUNNEL_TXINFO,
	WG_DROP_SEGMENTATION = SKB_DROP_REASON_SKB_GSO_SEG,
	WG_DROP_NO_SOCKET = SKB_DROP_REASON_NO_SOCKET,
	WG_DROP_SOCKET_CLOSED = SKB_DROP_REASON_SOCKET_CLOSE,
	WG_DROP_OTHER_HOST = SKB_DROP_REASON_OTHERHOST,
	WG_DROP_BACKLOG = SKB_DROP_REASON_CPU_BACKLOG,
	WG_DROP_INTEGRITY = SKB_DROP_REASON_SKB_CSUM,
	WG_DROP_OLD_SEQUENCE = SKB_DROP_REASON_TCP_OLD_SEQUENCE,
	WG_DROP_NO_ROUTE = SKB_DROP_REASON_IP_OUTNOROUTES,
	WG_DROP_SOURCE_NOT_ALLOWED = SKB_DROP_REASON_IP_RPFILTER,
	WG_DROP_DEVICE_NOT_READY = SKB_DROP_REASON_DEV_READY,
	WG_DROP_QUEUE_PURGED = SKB_DROP_REASON_QUEUE_PURGE,
};

bool wg_skb_layout_matches(const u32 *layout, size_t count);

struct sk_buff *wg_skb_alloc(u32 headroom, u32 len);
bool wg_skb_put_data(struct sk_buff *skb, const u8 *data, u32 len);
void wg_skb_free(struct sk_buff *skb);
void wg_skb_free_reason(struct sk_buff *skb, u32 reason);
void wg_skb_free_list(struct sk_buff *head);
void wg_skb_consume(struct sk_buff *skb);

bool wg_skb_ip_info(const struct sk_buff *skb, struct wg_ip_info *info);
u32 wg_skb_route_mtu(const struct sk_buff *skb, const struct net_device *dev);
void wg_skb_drop_dst(struct sk_buff *skb);
void wg_skb_orphan(struct sk_buff *skb);
int wg_skb_segment(struct sk_buff *skb, struct net_device *dev, struct sk_buff **head);
int wg_skb_checksum_complete(struct sk_buff *skb);
int wg_skb_seal(struct sk_buff *skb, const u8 *header, u32 pad, u64 nonce, const u8 *key);

/* How a GSO packet divides: segments, bytes of each but the last, bytes of the last. */
struct wg_gso_info {
	u32 messages;
	u32 full;
	u32 last;
};

bool wg_skb_gso_info(struct sk_buff *skb, struct net_device *dev, struct wg_gso_info *info);
void wg_skb_fit_train(const struct sk_buff *skb, u32 text_len);
int wg_skb_seal_gso(struct sk_buff *skb, struct net_device *dev, const u8 *header, u32 full_text,
		    u32 last_text, u64 nonce, const u8 *key, struct sk_buff **head);
u32 wg_skb_messages(const struct sk_buff *skb);

bool wg_skb_is_stamped(const struct sk_buff *skb);
bool wg_skb_leaves_with(const struct sk_buff *skb, const struct sk_buff *first);
u32 wg_skb_hash(const struct sk_buff *skb);
u32 wg_skb_run_most(u32 text_len);
struct sk_buff *wg_skb_seal_run(struct sk_buff *list, u32 count, const u8 *header, u32 full_text,
				u32 last_text, u64 nonce, const u8 *key);

u32 wg_skb_train_size(const struct sk_buff *skb);
struct sk_buff *wg_skb_extract(const struct sk_buff *skb, u32 offset, u32 len);

/* The piece of a train's memory that was used last: bytes start to end of its data. */
struct wg_train {
	u8 *piece;
	u32 start;
	u32 end;
	/* Nobody else can see the packet's data, and that piece of it. */
	bool writable;
	bool sole;
};

void wg_train_begin(const struct sk_buff *skb, struct wg_train *train);
bool wg_train_read(const struct sk_buff *skb, struct wg_train *train, u32 offset, u8 *to, u32 len);
int wg_train_open(struct sk_buff *skb, struct wg_train *train, u32 offset, u32 len,
		  u32 header_len, u64 nonce, const u8 *key, struct sk_buff **result);
bool wg_train_flow(const struct sk_buff *skb, struct wg_train *train, u32 offset, u32 len,
		   u64 nonce, const u8 *key, const struct net_device *dev, u32 *hash);

bool wg_skb_udp_payload(struct sk_buff *skb, struct wg_endpoint *from, u8 *ds);
bool wg_skb_pull_check(struct sk_buff *skb, u32 len);
struct sk_buff *wg_skb_open(struct sk_buff *skb, u32 header_len, u64 nonce, const u8 *key,
			    int *result);
bool wg_skb_set_inner(struct sk_buff *skb, u8 version, u32 len, bool fresh);
void wg_skb_ecn_decapsulate(struct sk_buff *skb, u8 outer_ds);

void wg_icmp_unreachable(struct sk_buff *skb, struct net_device *dev);

#endif
